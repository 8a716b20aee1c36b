"""The two passes over clean images that find every unit's threshold."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.measures.dissection.concept_table import ConceptTable, labels_of
from advscope.measures.dissection.layer_outputs import layer_outputs, parts
from advscope.measures.dissection.map_layers import map_layers
from advscope.measures.dissection.mask_counts import check_size
from advscope.measures.dissection.order_statistics import TopQuantile
from advscope.measures.dissection.settings import DissectionSettings
from advscope.measures.dissection.top_activations import TopActivations
from advscope.measures.dissection.unit_masks import check_finite
from advscope.processes import highest, summed


class LayerThresholds(NamedTuple):
    """What the passes found in one layer of ``K`` units."""

    thresholds: Tensor
    """T_k, float32 ``(K,)``."""
    maxima: Tensor
    """The largest activation of each unit, float32 ``(K,)``."""
    top_images: TopActivations
    """The images on which each unit is most active."""


class ThresholdPasses:
    """Two passes over clean images: the first checks their annotations, too.

    Made and used while the network is frozen: tensors that are made in inference mode could not be counted in.

    Args:
        network: The frozen network.
        names: Names of the layers.
        asked_for: Whether they were named; else those that give no maps are left out.
        table: Every label that images can bear.
        settings: How it is done.

    Attributes:
        names: Names of the layers that give maps.
        images: Number of images, over all processes after the first pass.
        unlabelled: Number of those without any label, likewise.
        size: Height and width of the masks, in pixels.
        classes: Number of classes of the network; 0 before it has run.
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str],
        asked_for: bool,
        table: ConceptTable,
        settings: DissectionSettings,
    ) -> None:
        self.network, self.table, self.settings, self.asked_for = network, table, settings, asked_for
        self.device = table.columns.device
        self.all_names = list(names)
        self.names = list(names)
        self.quantiles: dict[str, TopQuantile] = {}
        self.top_images: dict[str, TopActivations] = {}
        self.annotated: tuple[int, int] | None = None
        self.images = 0
        self.unlabelled = 0
        self.size = (0, 0)
        self.classes = 0

    def check(self, batch: Batch) -> None:
        """Check the annotations of a batch in the first pass: two passes before they are needed.

        Raises:
            ValueError: If there are none, they or the masks are of another size than those of earlier batches, or a
                label is wrong.
        """
        if batch.concepts is None:
            raise ValueError("a batch has no concepts: dissection needs annotated images, as of datamodules.Broden")
        self.unlabelled += self.table.check(*labels_of(batch, self.device))
        size = (batch.concepts.shape[-2], batch.concepts.shape[-1])
        if self.annotated is not None and size != self.annotated:
            raise ValueError(
                f"annotations must be of one size, got {self.annotated} and {size}: flipped pixels would not compare"
            )
        masks = size if self.settings.resolution == "label" else (batch.images.shape[-2], batch.images.shape[-1])
        if self.annotated is not None and masks != self.size:
            raise ValueError(
                f"images must be of one size, got {self.size} and {masks}: flipped pixels would not compare; scale "
                'them alike, or give resolution="label"'
            )
        check_size(masks)
        self.annotated, self.size = size, masks
        self.images += len(batch.images)

    def count(self, batch: Batch, first: bool) -> None:
        """Count the activations of a batch, in the first or the second pass."""
        for rows in parts(self.network, len(batch.images)):
            images = batch.images[rows].to(self.device)
            if not self.asked_for and not self.classes:
                self.names = map_layers(self.network, images, self.names)
            outputs, logits = layer_outputs(self.network, images, self.names)
            self.classes = logits.shape[1]
            for name, values in outputs.items():
                if values.ndim != 4:
                    raise ValueError(
                        f"layer {name!r} returns {tuple(values.shape)}, no maps (N, K, h, w): name convolutional layers"
                    )
                if name not in self.quantiles:
                    self._add_layer(name, values.shape[1])
                try:
                    if first:
                        check_finite(values)
                    self.quantiles[name].count(values.transpose(0, 1).flatten(1))
                except ValueError as error:
                    raise ValueError(f"layer {name!r}: {error}") from None
                if first:
                    self.top_images[name].count(values.amax((2, 3)), batch.indices[rows].to(self.device))

    def _add_layer(self, name: str, units: int) -> None:
        self.quantiles[name] = TopQuantile(units, self.settings.quantile, self.device)
        self.top_images[name] = TopActivations(units, self.settings.top_images, self.device)

    def locate(self) -> None:
        """End the first pass; a process without images learns from the others what they found.

        Raises:
            ValueError: If there are no images, no layer gives maps, or processes have annotations or masks of different
                sizes.
        """
        counts = torch.tensor([self.images, self.unlabelled], device=self.device)
        self.images, self.unlabelled = summed(counts).tolist()
        if not self.images:
            raise ValueError("there are no images to dissect with; give at least one")
        self.size = self._size_of_all()
        found = [self.quantiles[name].columns if name in self.quantiles else 0 for name in self.all_names]
        numbers = highest(torch.tensor(found, device=self.device)).tolist()
        units = {name: number for name, number in zip(self.all_names, numbers, strict=True) if number}
        self.names = list(units)
        if not units:
            raise ValueError("no block of the network gives maps (N, K, h, w): name layers that do")
        for name, number in units.items():
            if name not in self.quantiles:
                self._add_layer(name, number)
            self.quantiles[name].locate()
            self.top_images[name].add_up()

    def _size_of_all(self) -> tuple[int, int]:
        """Return the size of the masks, which a process without images does not know."""
        sizes = [-1] * 8
        if self.annotated is not None:
            both = [*self.annotated, *self.size]
            # The least size is the greatest difference to a number above all; without images there is none.
            sizes = [*both, *((1 << 31) - one for one in both)]
        found = highest(torch.tensor(sizes, dtype=torch.int64, device=self.device)).tolist()
        most, least = found[:4], [(1 << 31) - one for one in found[4:]]
        for place, kind in ((0, "annotations"), (2, "images")):
            one, other = tuple(least[place : place + 2]), tuple(most[place : place + 2])
            if one != other:
                raise ValueError(
                    f"{kind} must be of one size, in all processes, got {one} and {other}: scale them alike"
                )
        return most[2], most[3]

    def result(self) -> dict[str, LayerThresholds]:
        """End the second pass, and return the thresholds of each layer.

        Raises:
            ValueError: If the second pass saw other values than the first.
        """
        found = {}
        for name in self.names:
            # Its counts are the greater part of the memory, and are not needed any more.
            quantile = self.quantiles.pop(name)
            found[name] = LayerThresholds(quantile.thresholds(), quantile.maximum, self.top_images[name])
        return found
