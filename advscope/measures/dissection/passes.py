"""The three passes of a dissection, and what they count."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.layers import activations
from advscope.measures.dissection.concept_tally import ConceptTable, ConceptTally
from advscope.measures.dissection.dissected_layer import DissectedLayer
from advscope.measures.dissection.order_statistics import TopQuantile
from advscope.measures.dissection.settings import DissectionSettings
from advscope.measures.dissection.unit_masks import unit_masks
from advscope.measures.dissection.unit_sensitivity import UnitSensitivity
from advscope.processes import highest, summed

AttackCall = Callable[..., Tensor]
"""``attack(network, images, labels, indices=indices)`` returns adversarial images."""

_ELEMENTS = 1 << 25
"""Elements of masks at once: images of a batch are taken in smaller parts where a layer has many units."""


class _Layer(NamedTuple):
    """What is counted of one layer."""

    quantile: TopQuantile
    tally: ConceptTally
    attacked: UnitSensitivity
    everywhere: UnitSensitivity


class DissectionPasses:
    """A dissection in progress: what its three passes count, layer by layer.

    Made and used while the network is frozen: tensors that are made in inference mode could not be counted in.

    Args:
        network: The frozen network.
        names: Names of the layers.
        concepts: Every label that images can bear.
        attack: Makes the adversarial images, or None.
        settings: How it is done.
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str],
        concepts: Sequence[Concept],
        attack: AttackCall | None,
        settings: DissectionSettings,
    ) -> None:
        self.network = network
        self.names = list(names)
        self.attack = attack
        self.settings = settings
        self.device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
        self.table = ConceptTable(concepts, self.device)
        self.layers: dict[str, _Layer] = {}
        self.thresholds: dict[str, Tensor] = {}
        self.fates = torch.zeros(3, dtype=torch.int64, device=self.device)
        self.size: tuple[int, int] | None = None

    def check_concepts(self, batch: Batch) -> None:
        """Check the annotations of a batch in the first pass: two passes before they are needed."""
        if batch.concepts is None:
            raise ValueError("a batch has no concepts: dissection needs annotated images, as of datamodules.Broden")
        self.table.check(*self._annotations(batch))
        size = (batch.concepts.shape[-2], batch.concepts.shape[-1])
        if self.size is not None and size != self.size:
            raise ValueError(
                f"annotations must be of one size, got {self.size} and {size}: flipped pixels would not compare"
            )
        self.size = size

    def count_values(self, batch: Batch) -> None:
        """Count the activations of a batch, in the first or the second pass."""
        outputs, _ = self._activations(batch.images.to(self.device))
        for name in self.names:
            values = outputs.pop(name)
            if values.ndim not in (2, 4):
                raise ValueError(f"layer {name!r} returns {tuple(values.shape)}: name one that returns (N, K, h, w)")
            if name not in self.layers:
                self._add_layer(name, values.shape[1])
            columns = values if values.ndim == 2 else values.permute(0, 2, 3, 1).flatten(0, 2)
            try:
                self.layers[name].quantile.count(columns)
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}") from None

    def _activations(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the outputs of the layers and the logits; in float32, as which thresholds are exact."""
        outputs, logits = activations(self.network, images, self.names)
        return {name: output.float() for name, output in outputs.items()}, logits

    def _annotations(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the labels of pixels and of whole images, beside the network."""
        assert batch.concepts is not None  # check_concepts has seen to it
        whole = batch.image_concepts
        return batch.concepts.to(self.device), None if whole is None else whole.to(self.device)

    def _masks(self, name: str, values: Tensor) -> Tensor:
        """Return the masks of a layer's units at the size of the annotations."""
        assert self.size is not None
        try:
            return unit_masks(values, self.thresholds[name], self.size, self.settings.strict)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from None

    def _add_layer(self, name: str, units: int) -> None:
        self.layers[name] = _Layer(
            TopQuantile(units, self.settings.quantile, self.device),
            ConceptTally(units, self.table),
            UnitSensitivity(units, self.device),
            UnitSensitivity(units, self.device),
        )

    def locate(self) -> None:
        """End the first pass; a process without images learns from the others how many units there are."""
        for name in self.names:
            known = self.layers[name].tally.unit_areas.shape[1] if name in self.layers else 0
            units = int(highest(torch.tensor(known, device=self.device)))
            if not units:
                raise ValueError("there are no images to dissect with; give at least one")
            if name not in self.layers:
                self._add_layer(name, units)
            self.layers[name].quantile.locate()

    def settle_thresholds(self) -> None:
        """End the second pass."""
        self.thresholds = {name: self.layers[name].quantile.thresholds() for name in self.names}
        for name in self.names:
            # Its counts are the greater part of the memory, and are not needed any more.
            self.layers[name].quantile.release()

    def tally(self, batch: Batch) -> None:
        """Count masks and flips of a batch."""
        images, indices = batch.images.to(self.device), batch.indices.to(self.device)
        pixels, whole = self._annotations(batch)
        concepts = self.table.of_images(pixels, whole)
        with torch.no_grad():
            clean, logits = self._activations(images)
        labels = batch.labels.to(self.device)
        labels = labels.where(labels >= 0, logits.argmax(1))
        moved: dict[str, Tensor] = {}
        attacked = torch.zeros_like(labels, dtype=torch.bool)
        if self.attack is not None:
            adversarials = self.attack(self.network, images, labels, indices=indices)
            with torch.no_grad():
                moved, adversarial_logits = self._activations(adversarials)
            eligible = logits.argmax(1) == labels
            attacked = eligible & (adversarial_logits.argmax(1) != labels)
            self.fates += torch.stack([attacked.sum(), (eligible & ~attacked).sum(), (~eligible).sum()])
        for name in self.names:
            before, after = clean.pop(name), moved.pop(name, None)
            layer = self.layers[name]
            part = max(1, _ELEMENTS // (before.shape[1] * pixels.shape[-2] * pixels.shape[-1]))
            for rows in torch.arange(len(images), device=self.device).split(part):
                masks = self._masks(name, before[rows])
                layer.tally.count(masks, [concepts[row] for row in rows.tolist()], indices[rows])
                if after is not None:
                    flips = (masks ^ self._masks(name, after[rows])).flatten(2).sum(2)
                    layer.everywhere.count(flips, indices[rows])
                    layer.attacked.count(flips[attacked[rows]], indices[rows][attacked[rows]])

    def result(self) -> dict[str, DissectedLayer]:
        """Add up over processes and return what was found."""
        attacked, failed, ineligible = summed(self.fates).tolist()
        # A process without images learns the size of the others' annotations.
        pixels = int(highest(torch.tensor(0 if self.size is None else self.size[0] * self.size[1], device=self.device)))
        results = {}
        for name in self.names:
            layer = self.layers[name]
            layer.tally.add_up()
            layer.attacked.add_up()
            layer.everywhere.add_up()
            results[name] = DissectedLayer.of(
                layer.tally,
                self.thresholds[name],
                layer.quantile.maximum,
                layer.attacked,
                layer.everywhere,
                counts={"attacked": attacked, "failed": failed, "ineligible": ineligible},
                pixels=pixels,
                union=self.settings.union,
                draws=self.settings.draws,
            )
        return results
