"""The third pass of a dissection: clean and adversarial masks, concepts and flips, counted together."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.measures.dissection.adversarial_images import AdversarialImages
from advscope.measures.dissection.concept_table import ConceptTable, ImageConcepts, labels_of
from advscope.measures.dissection.dissected_layer import DissectedLayer
from advscope.measures.dissection.image_groups import group_of
from advscope.measures.dissection.layer_outputs import layer_outputs, parts
from advscope.measures.dissection.layer_tallies import LayerTallies
from advscope.measures.dissection.mask_counters import mask_counter
from advscope.measures.dissection.mask_counts import MaskCounter
from advscope.measures.dissection.reference_annotations import ReferenceAnnotations
from advscope.measures.dissection.settings import DissectionSettings
from advscope.measures.dissection.unit_masks import check_finite
from advscope.processes import summed


class TallyPass:
    """One pass over the images, in which all that needs the thresholds is counted.

    Made and used while the network is frozen: tensors that are made in inference mode could not be counted in.

    Args:
        network: The frozen network.
        layers: What is counted of each layer, empty.
        table: Every label that images can bear.
        adversarial: Where the adversarial images come from.
        references: Annotations of other images, or None where chance is not asked for.
        size: Height and width of the masks, in pixels.
        settings: How it is done.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Mapping[str, LayerTallies],
        table: ConceptTable,
        adversarial: AdversarialImages,
        references: ReferenceAnnotations | None,
        size: tuple[int, int],
        settings: DissectionSettings,
    ) -> None:
        self.network, self.table, self.adversarial, self.references = network, table, adversarial, references
        self.layers = dict(layers)
        self.size, self.settings = size, settings
        self.device = table.columns.device
        self.images = 0
        self.counters: dict[tuple[str, tuple[int, int]], MaskCounter] = {}

    def count(self, batch: Batch) -> None:
        """Count masks and flips of a batch."""
        self.images += len(batch.images)
        for rows in parts(self.network, len(batch.images)):
            self._count_part(batch.part(rows))

    def _count_part(self, batch: Batch) -> None:
        """Count masks and flips of a few images."""
        images, indices = batch.images.to(self.device), batch.indices.to(self.device)
        concepts = [each.sampled(self.size) for each in self.table.of_images(*labels_of(batch, self.device))]
        others = self._other_concepts(indices)
        clean, logits = layer_outputs(self.network, images, list(self.layers))
        # Images with an adversarial one first, then the others: masks of a pair are counted together.
        paired = torch.zeros(0, dtype=torch.int64, device=self.device)
        moved: dict[str, Tensor] = {}
        attacked = None
        if self.adversarial.given:
            made = self.adversarial.of(batch, images, logits.argmax(1))
            paired = made.rows
            if len(paired):
                moved, moved_logits = layer_outputs(self.network, made.images, list(self.layers))
                attacked = self.adversarial.succeeded(made, moved_logits.argmax(1), indices[paired])
        alone = torch.ones(len(images), dtype=torch.bool, device=self.device)
        alone[paired] = False
        for name in self.layers:
            before = clean.pop(name)
            for rows, maps in (
                (paired, [before[paired], moved.pop(name)] if moved else []),
                (alone.nonzero().flatten(), [before[alone]]),
            ):
                if len(rows):
                    self._count_layer(name, maps, rows.tolist(), indices[rows], concepts, others, attacked)

    def _count_layer(
        self,
        name: str,
        maps: list[Tensor],
        rows: list[int],
        indices: Tensor,
        concepts: list[ImageConcepts],
        others: list[ImageConcepts] | None,
        attacked: Tensor | None,
    ) -> None:
        """Count images of which all, or none, have an adversarial one."""
        layer = self.layers[name]
        for values in maps:
            try:
                check_finite(values)
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}") from None
        own = [concepts[row] for row in rows]
        foreign = None if others is None else [others[row] for row in rows]
        sets = [each.pixels for each in own]
        if foreign is not None:
            sets = [torch.cat([each, other.pixels]) for each, other in zip(sets, foreign, strict=True)]
        counter = self._counter(name, maps[0])
        flips = []
        for place, (found, group) in enumerate(
            zip(counter.count(maps, layer.thresholds, sets), group_of(indices).tolist(), strict=True)
        ):
            number = len(own[place].pixels)
            masks = [each._replace(met=each.met[:, :number]) for each in found.masks]
            layer.clean.count(masks[0], own[place], group)
            if foreign is not None and layer.chance is not None:
                layer.chance.count(found.masks[0]._replace(met=found.masks[0].met[:, number:]), foreign[place], group)
            if found.flips is not None and layer.adversarial is not None:
                layer.adversarial.count(masks[1], own[place], group)
                flips.append(found.flips)
        if flips and attacked is not None:
            flipped = torch.stack(flips)
            layer.everywhere.count(flipped, indices)
            layer.attacked.count(flipped[attacked], indices[attacked])

    def _other_concepts(self, indices: Tensor) -> list[ImageConcepts] | None:
        """Return for each image the concepts of another one; None where that is not asked for, or there is none."""
        partners = None if self.references is None else self.references.partner(indices)
        if partners is None:
            return None
        return [each.sampled(self.size) for each in self.table.of_images(*partners)]

    def _counter(self, name: str, maps: Tensor) -> MaskCounter:
        """Return the counter of a layer's masks, made at the first call."""
        source = (maps.shape[-2], maps.shape[-1])
        if (name, source) not in self.counters:
            self.counters[name, source] = mask_counter(
                maps.shape[1], source, self.size, self.settings.strict, self.settings.align_corners, self.device
            )
        return self.counters[name, source]

    def result(self, images: int) -> dict[str, DissectedLayer]:
        """Add up over processes and return what was found.

        Args:
            images: Number of images that the first pass saw, in all processes.

        Raises:
            ValueError: If this one saw another number of them.
        """
        seen = int(summed(torch.tensor(self.images, device=self.device)))
        if seen != images:
            raise ValueError(
                f"the third pass saw {seen} images and the first {images}: the batches must be the same each time"
            )
        counts = self.adversarial.fates(self.device)
        results = {}
        for name in list(self.layers):
            layer = self.layers.pop(name)
            layer.add_up()
            results[name] = layer.result(self.settings, counts, self.size[0] * self.size[1])
        return results
