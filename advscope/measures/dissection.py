"""Network dissection: what concept each unit detects, and how far an attack moves it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.frozen import frozen
from advscope.layers import activations, blocks
from advscope.measures.concept_tally import ConceptTable, ConceptTally
from advscope.measures.dissected_layer import DissectedLayer
from advscope.measures.order_statistics import TopQuantile
from advscope.measures.unit_masks import unit_masks
from advscope.measures.unit_sensitivity import UnitSensitivity
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


@dataclass(frozen=True)
class DissectionSettings:
    """How a dissection is done.

    Args:
        quantile: Share of its positions on which a unit counts as active, in (0, 1): 0.05 in Xu et al., 0.005 in
            NetDissect.
        strict: Active above the threshold; False: also at it.
        union: Union of IoU: ``"all"`` images, or those with a label of the concept's ``"category"`` alone.
        draws: Random sets of units behind each p-value, at least 1.

    Raises:
        ValueError: If a setting is out of range.
    """

    quantile: float = 0.05
    strict: bool = True
    union: str = "all"
    draws: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what is out of range, before an hour is lost."""
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile must be in (0, 1), got {self.quantile}")
        if self.union not in ("all", "category"):
            raise ValueError(f'union must be "all" or "category", got {self.union!r}')
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")


def dissect(
    network: nn.Module,
    batches: Iterable[Batch],
    concepts: Sequence[Concept],
    layers: Sequence[str] | None = None,
    attack: AttackCall | None = None,
    settings: DissectionSettings = DissectionSettings(),  # immutable
) -> dict[str, DissectedLayer]:
    r"""Find which concept each unit detects, and how sensitive it is to an attack.

    Three passes over the images, whatever the number of layers: two for each unit's threshold T_k, the exact top
    quantile of its activations over all clean images and positions; and one that counts where the masks
    :math:`M_k(x) = 1[S_k(x) > T_k]`, at the annotation's resolution, meet concepts, and which of their pixels the
    attack flips. Memory does not grow with the number of images. The network is left as found. With a network in
    :class:`~advscope.frozen.MicroBatched` every count is the same for any batch size, order and number of processes.

    Args:
        network: Maps images to logits; run in evaluation mode.
        batches: Images with ``concepts``, iterated over three times; in several processes each has its own share. An
            image of label -1 is attacked from the network's own prediction, and is always eligible.
        concepts: Every label that images can bear.
        layers: Names of submodules whose outputs are ``(N, K, h, w)`` or ``(N, K)``; ``None`` for every block.
        attack: Makes the adversarial images; ``None`` leaves sensitivity undefined.
        settings: How it is done.

    Returns:
        For each layer what was found.

    Raises:
        ValueError: If there are no images, one has no concepts or bears an unknown label, annotations differ in size, a
            layer is unknown, named twice or holds nan, or a setting is not allowed.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (7), (8). https://arxiv.org/abs/1904.02057 ;
        Bau et al., *Network Dissection*, CVPR 2017. https://arxiv.org/abs/1704.05796
    """
    names = blocks(network) if layers is None else list(layers)
    if not names:
        raise ValueError(f"{type(network).__name__} has no blocks to dissect, or layers is empty: name layers")
    if len(set(names)) < len(names):
        raise ValueError(f"layers must be different ones, got {', '.join(names)}")
    with frozen(network):
        # Made in here: tensors that are made in inference mode could not be counted in.
        dissection = _Dissection(network, names, concepts, attack, settings)
        with torch.no_grad():
            for batch in batches:
                dissection.check_concepts(batch)
                dissection.count_values(batch)
            dissection.locate()
            for batch in batches:
                dissection.count_values(batch)
            dissection.settle_thresholds()
        for batch in batches:
            dissection.tally(batch)
        return dissection.result()


class _Dissection:
    """A dissection in progress."""

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
