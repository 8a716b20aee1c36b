"""IS of the attacked images, during training and after it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.explainers import CAM, Explainer
from advscope.measures import (
    InterpretabilityScore,
    noise_control,
    salient_mask,
    shuffled_cells_control,
    shuffled_control,
)
from advscope.measures.interpretability_score import PAIRS, check_explainer_name, percent, suffix
from advscope.measures.salient_mask import check_quantile
from callbacks.batch_monitor import BatchMonitor


class InterpretabilityMonitor(BatchMonitor):
    """Measures whether a perturbation acts where the network looks for the true class, and for the target.

    Logs ``{stage}/{attack}/is/{quantity}``, the quantities of :class:`~advscope.measures.InterpretabilityScore`:
    ``score_clean`` for ``explainer`` at ``quantile``, ``score_clean_NAME`` for a further explainer,
    ``score_clean_at_60`` and ``score_clean_NAME_at_60`` for a further quantile of 0.6; and of controls
    ``score_clean_noise``, likewise. An explainer runs once on the clean images and once on the adversarial ones;
    further quantiles and controls take no pass.

    Args:
        explainer: Makes the heatmaps; null for the closed-form CAM, which needs global average pooling and one linear
            layer at the end of the network (others: ``advscope.explainers.GradCAM``).
        quantile: nu: the mask is what lies at or above this quantile of a map.
        every_n_epochs: As for :class:`~callbacks.BatchMonitor`.
        max_images: As for :class:`~callbacks.BatchMonitor`.
        examples: As for :class:`~callbacks.BatchMonitor`.
        further: Further explainers by name: lower case letters, digits and underscores.
        quantiles: Further quantiles, for every explainer.
        controls: Whether the same masks score random perturbations as well: Gaussian noise, and the perturbation with
            its pixels permuted.
        control_cell_size: Side of the cells of a third control, the perturbation with its cells permuted; null for
            none.
        seed: Of the controls' randomness, a function of (seed, index of the image).

    Raises:
        ValueError: If a quantile or a name is not allowed, or two of them cannot be told apart.
    """

    measure = "is"

    def __init__(
        self,
        explainer: Explainer | None = None,
        quantile: float = 0.7,
        every_n_epochs: int = 1,
        max_images: int | None = None,
        examples: int = 6,
        further: dict[str, Explainer] | None = None,
        quantiles: Sequence[float] = (),
        controls: bool = True,
        control_cell_size: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_epochs, max_images, examples)
        # All asked now: the attacks that run before the first batch is measured may take hours.
        check_quantile(quantile)
        self.explainers = {"": explainer or CAM()} | (further or {})
        for name in further or {}:
            check_explainer_name(name)
        if "cam" in self.explainers:
            raise ValueError(
                "further: the name cam is that of the main explainer's example arrays: give CAM another, or make it "
                "the main explainer"
            )
        self.suffixes = {
            (name, value): suffix(name, None if place == 0 else value)
            for name in self.explainers
            for place, value in enumerate((quantile, *quantiles))
        }
        percents = [percent(value) for value in (quantile, *quantiles)]
        if len(set(percents)) < len(percents):
            raise ValueError(f"quantile and quantiles must differ after rounding to percent, got {percents}")
        if control_cell_size is not None and control_cell_size < 1:
            raise ValueError(f"control_cell_size must be at least 1, or null for none, got {control_cell_size}")
        if control_cell_size is not None and not controls:
            raise ValueError(
                f"control_cell_size={control_cell_size} needs controls: set it to null, or controls to true"
            )
        self.controls = ("noise", "shuffled") if controls else ()
        if control_cell_size is not None:
            self.controls += ("shuffled_cells",)
        self.control_cell_size = control_cell_size
        self.seed = seed

    def metric(self, network: nn.Module) -> InterpretabilityScore:
        """Return an empty metric, once the explainers have found their layers."""
        for explainer in self.explainers.values():
            explainer.check(network)
        return self._empty()

    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the scores with respect to the maps of (x0, t0) and (x', t)."""
        perturbations = self._perturbations(batch)
        metric = self._empty()
        columns: dict[str, Tensor] = {}
        for pair, images, classes in _pairs(batch):
            for name, explainer in self.explainers.items():
                maps = explainer(network, images, classes)
                for (of, quantile), behind in self.suffixes.items():
                    if of == name:
                        masks = salient_mask(maps, quantile)
                        columns |= metric.columns(pair, masks, perturbations, behind)
        return columns

    def example_arrays(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return four maps of every explainer: of both images, for both classes."""
        both = torch.stack([batch.labels, batch.targets], 1)
        arrays = {}
        for name, explainer in self.explainers.items():
            for pair, images, _ in _pairs(batch):
                maps = explainer(network, images, both)
                for place, kind in enumerate(("label", "target")):
                    arrays[f"{name or 'cam'}_{pair}_{kind}"] = maps[:, place]
        return arrays

    def _empty(self) -> InterpretabilityScore:
        return InterpretabilityScore(list(self.suffixes.values()), self.controls)

    def _perturbations(self, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the attack's perturbation and the controls, by name."""
        found = {"": batch.adversarials - batch.images}
        if self.controls:
            found["noise"] = noise_control(found[""], batch.indices, self.seed)
            found["shuffled"] = shuffled_control(found[""], batch.indices, self.seed)
        if self.control_cell_size is not None:
            found["shuffled_cells"] = shuffled_cells_control(
                found[""], batch.indices, self.control_cell_size, self.seed
            )
        return found


def _pairs(batch: AttackedBatch) -> list[tuple[str, Tensor, Tensor]]:
    """Return the two maps' names, images and classes."""
    return list(zip(PAIRS, (batch.images, batch.adversarials), (batch.labels, batch.targets), strict=True))
