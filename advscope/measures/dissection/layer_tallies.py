"""All that a dissection counts of one layer, and what it says at the end."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from advscope.concepts import Concept
from advscope.intervals import Estimate, jackknife
from advscope.measures.dissection.concept_table import ConceptTable
from advscope.measures.dissection.concept_tally import ConceptTally
from advscope.measures.dissection.dissected_layer import DissectedLayer
from advscope.measures.dissection.image_groups import GROUPS
from advscope.measures.dissection.layer_scores import LayerScores
from advscope.measures.dissection.settings import DissectionSettings
from advscope.measures.dissection.threshold_passes import LayerThresholds
from advscope.measures.dissection.unit_sensitivity import UnitSensitivity


class LayerTallies:
    """What the third pass counts of one layer.

    Args:
        found: Thresholds, maxima and top images of its units.
        table: The concepts.
        pixels: Pixels of the masks on all images of all processes.
        attacked: Whether there are adversarial images.
        chance: Whether masks are held against other images' concepts, too.

    Attributes:
        clean: Clean masks and the images' concepts.
        adversarial: Masks of adversarial images and the concepts of the clean ones; None without any.
        chance: Clean masks and other images' concepts; None where that is not asked for.
        attacked: Flips over the attacked images.
        everywhere: Flips over all images that have an adversarial one.
    """

    def __init__(
        self,
        found: LayerThresholds,
        table: ConceptTable,
        pixels: int,
        attacked: bool,
        chance: bool,
    ) -> None:
        self.thresholds, self.maxima, self.top_images = found
        units, device = len(self.thresholds), self.thresholds.device
        self.clean = ConceptTally(units, table, pixels)
        self.adversarial = ConceptTally(units, table, pixels) if attacked else None
        self.chance = ConceptTally(units, table, pixels) if chance else None
        self.attacked = UnitSensitivity(units, device)
        self.everywhere = UnitSensitivity(units, device)

    def add_up(self) -> None:
        """Add up the counts of all processes; once, after the last batch."""
        for part in (self.clean, self.adversarial, self.chance, self.attacked, self.everywhere):
            if part is not None:
                part.add_up()

    def result(self, settings: DissectionSettings, counts: Mapping[str, int], pixels: int) -> DissectedLayer:
        """Return what the counts say.

        Args:
            settings: How the dissection was done.
            counts: Numbers of images by fate.
            pixels: Pixels of a mask.
        """
        # A dead unit's threshold is its maximum, and 0.
        kinds = tuple(
            "maximum" if threshold == maximum else "zero" if threshold == 0 else "regular"
            for threshold, maximum in zip(self.thresholds.tolist(), self.maxima.tolist(), strict=True)
        )
        regular = torch.tensor([kind == "regular" for kind in kinds], device=self.thresholds.device)
        choices = {"": torch.ones_like(regular), "_regular": regular}
        found = LayerScores(self.clean, settings.union, settings.detector, choices)
        moved = self._scores(self.adversarial, settings, choices)
        chance = self._scores(self.chance, settings, choices)
        n, units = found.n, len(kinds)
        figures = {"units": _count(units, n)}
        figures["units_zero"] = _count(int((self.thresholds == 0).sum()), n)
        figures["units_maximum"] = _count(int((self.thresholds == self.maxima).sum()), n)
        undefined = found.interpretability.isnan() | self.attacked.values().isnan()
        figures["units_undefined"] = _count(int(undefined.sum()), n)
        figures["concepts"] = _count(int(found.present.sum()), n)
        figures["concepts_absent"] = _count(int((~found.present).sum()), n)
        figures["mask_pixels"] = _count(pixels, n)
        figures |= found.figures
        for scores, name in ((moved, "adversarial"), (chance, "chance")):
            if scores is not None:
                figures |= {_inserted(key, name): figure for key, figure in scores.figures.items()}
        for suffix, chosen in choices.items():
            figures[f"sensitivity{suffix}"] = _mean_sensitivity(self.attacked, chosen)
        best: tuple[Concept | None, ...] = (None,) * units
        nothing = torch.full_like(found.iou, torch.nan)
        columns = torch.full_like(regular, -1, dtype=torch.int64) if found.columns is None else found.columns
        highest = [estimate.value > settings.detector for estimate in found.best_iou]
        return DissectedLayer(
            threshold=self.thresholds,
            maxima=self.maxima,
            kinds=kinds,
            iou=found.iou,
            adversarial_iou=nothing if moved is None else moved.iou,
            areas=self.clean.unit_areas.sum(0),
            intersections=self.clean.intersections.sum(0),
            category_areas=self.clean.category_areas.sum(0),
            concept_areas=self.clean.concept_areas.sum(0),
            best=found.best,
            best_iou=found.best_iou,
            best_columns=columns,
            detectors=torch.tensor(highest, device=regular.device),
            adversarial_best=best if moved is None else moved.best,
            interpretability=found.interpretability,
            sensitivity=self.attacked.values(),
            sensitivity_estimates=tuple(self.attacked.estimates()),
            sensitivity_all=tuple(self.everywhere.estimates()),
            top_images=self.top_images.indices,
            top_values=self.top_images.values,
            figures=figures,
            counts=dict(counts),
        )

    @staticmethod
    def _scores(
        tally: ConceptTally | None, settings: DissectionSettings, choices: Mapping[str, Tensor]
    ) -> LayerScores | None:
        return None if tally is None else LayerScores(tally, settings.union, settings.detector, choices)


def _inserted(key: str, name: str) -> str:
    """Return a figure's key with a word before its suffix.

    Example:
        >>> _inserted("detectors_color_regular", "chance")
        'detectors_color_chance_regular'
    """
    kept = key.removesuffix("_regular")
    return f"{kept}_{name}{key[len(kept) :]}"


def _count(value: int, n: int) -> Estimate:
    """Return a number of units, which has no interval."""
    return Estimate(float(value), math.nan, math.nan, n)


def _mean_sensitivity(sensitivity: UnitSensitivity, units: Tensor) -> Estimate:
    """Return the mean of v(k) over some units, with the jackknife's interval."""
    groups = [group for group in range(GROUPS) if int(sensitivity.images[group])]
    without = [float(sensitivity.values(group)[units].mean()) for group in groups]
    return jackknife(float(sensitivity.values()[units].mean()), without, int(sensitivity.images.sum()))
