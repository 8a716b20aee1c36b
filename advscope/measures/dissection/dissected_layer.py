"""What a dissection found in one layer."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advscope.concepts import Concept
from advscope.intervals import Estimate, jackknife
from advscope.measures.dissection.concept_tally import GROUPS, ConceptTally
from advscope.measures.dissection.unit_sensitivity import UnitSensitivity
from advscope.measures.dissection.unit_significance import top_units_p_values

DETECTOR = 0.04
"""A unit whose best IoU exceeds this is a detector of its best concept."""

TOP = (10, 20, 30, 50, 80, 100)
"""Numbers N of most sensitive units that are compared with random ones, where a layer has more than N."""


class DissectedLayer(NamedTuple):
    """The units of one layer, in their order, and figures of the layer."""

    thresholds: Tensor
    """T_k, float32 ``(K,)``."""
    maxima: Tensor
    """The largest activation of each unit on the clean images, float32 ``(K,)``."""
    kinds: tuple[str, ...]
    """``maximum`` where T_k is the unit's maximum (S > T masks nothing), else ``zero`` where it is 0 (S >= T would mask
    everything), else ``regular``."""
    best: tuple[Concept | None, ...]
    """The concept with which each unit has the highest IoU, the first of several; None where no concept is present."""
    iou: tuple[Estimate, ...]
    """IoU with the best concept, in [0, 1]."""
    interpretability: Tensor
    """IoU(k), the mean over the concepts that are present, float64 ``(K,)``."""
    sensitivity: tuple[Estimate, ...]
    """v(k) over the attacked images, in roots of pixels."""
    sensitivity_all: tuple[Estimate, ...]
    """v(k) over all images, whether or not the attack succeeded."""
    figures: Mapping[str, Estimate]
    """Figures of the layer by quantity (docs/measures.md lists them); ``_regular`` is over its regular units alone."""
    counts: Mapping[str, int]
    """Images on which the attack succeeded (``attacked``), did not (``failed``), or that do not count."""

    @staticmethod
    def of(
        tally: ConceptTally,
        thresholds: Tensor,
        maxima: Tensor,
        attacked: UnitSensitivity,
        everywhere: UnitSensitivity,
        *,
        counts: Mapping[str, int],
        pixels: int,
        union: str,
        draws: int,
    ) -> "DissectedLayer":
        """Return what the counts of a layer say.

        Args:
            tally: Where its units and the concepts met.
            thresholds: T_k, ``(K,)``.
            maxima: The largest activation of each unit, ``(K,)``.
            attacked: Flips over the attacked images.
            everywhere: Flips over all images.
            counts: Numbers of images by fate.
            pixels: Pixels of a mask.
            union: Union of IoU, ``"all"`` or ``"category"``.
            draws: Random sets of units behind each p-value.
        """
        found = _Scores(tally, union)
        kinds = tuple(
            "maximum" if threshold == maximum else "zero" if threshold == 0 else "regular"
            for threshold, maximum in zip(thresholds.tolist(), maxima.tolist(), strict=True)
        )
        regular = torch.tensor([kind == "regular" for kind in kinds], device=thresholds.device)
        everyone = torch.ones_like(regular)
        n = int(tally.images.sum())
        figures = {"units": _count(len(kinds), n)}
        figures["units_zero"] = _count(int((thresholds == 0).sum()), n)
        figures["units_maximum"] = _count(int((thresholds == maxima).sum()), n)
        figures["units_undefined"] = _count(int((found.interpretability.isnan() | attacked.values().isnan()).sum()), n)
        figures["concepts"] = _count(int(found.present.sum()), n)
        figures["concepts_absent"] = _count(int((~found.present).sum()), n)
        figures["mask_pixels"] = _count(pixels, n)
        for suffix, units in (("", everyone), ("_regular", regular)):
            for quantity, figure in found.figures(units).items():
                figures[quantity + suffix] = figure
            figures[f"sensitivity{suffix}"] = _mean_sensitivity(attacked, units)
            tops = [top for top in TOP if top < int(units.sum())]
            p_values = top_units_p_values(found.interpretability[units], attacked.values()[units], tops, draws)
            for top, p in p_values.items():
                figures[f"p_top{top}{suffix}"] = Estimate(p, math.nan, math.nan, int(attacked.images.sum()))
        return DissectedLayer(
            thresholds,
            maxima,
            kinds,
            found.best,
            found.best_iou(),
            found.interpretability,
            tuple(attacked.estimates()),
            tuple(everywhere.estimates()),
            figures,
            dict(counts),
        )

    def rows(self, layer: str) -> list[dict[str, Any]]:
        """Return one mapping per unit, as the per-unit table has them.

        Args:
            layer: Name of the layer.
        """
        rows = []
        for unit, concept in enumerate(self.best):
            iou, sensitivity = self.iou[unit], self.sensitivity[unit]
            rows.append({
                "layer": layer,
                "unit": unit,
                "threshold": float(self.thresholds[unit]),
                "maximum": float(self.maxima[unit]),
                "kind": self.kinds[unit],
                "concept": "" if concept is None else concept.name,
                "category": "" if concept is None else concept.category,
                "iou": iou.value,
                "iou_low": iou.low,
                "iou_high": iou.high,
                "detector": iou.value > DETECTOR,
                "interpretability": float(self.interpretability[unit]),
                "sensitivity": sensitivity.value,
                "sensitivity_low": sensitivity.low,
                "sensitivity_high": sensitivity.high,
                "sensitivity_all": self.sensitivity_all[unit].value,
            })  # fmt: skip
        return rows


class _Scores:
    """The IoU of a layer's units, over all images and without each group of them."""

    def __init__(self, tally: ConceptTally, union: str) -> None:
        self.table = tally.table
        self.n = int(tally.images.sum())
        # Concepts without a pixel have IoU 0 or none, which says nothing of the units.
        self.present = tally.concept_areas.sum(0) > 0
        self.all = tally.iou(union)[:, self.present]
        groups = [group for group in range(GROUPS) if int(tally.images[group])]
        self.without = [tally.iou(union, group)[:, self.present] for group in groups]
        areas = tally.concept_areas[:, self.present]
        # A concept on the images of one group alone is absent without that group, and part of no mean there.
        self.absent = [areas.sum(0) == areas[group] for group in groups]
        self.interpretability = self.all.mean(1)
        places = self.present.nonzero().flatten()
        self.columns = places[self.all.argmax(1)].tolist() if len(places) else None
        self.best: tuple[Concept | None, ...] = (
            (None,) * len(self.all)
            if self.columns is None
            else tuple(self.table.concepts[column] for column in self.columns)
        )

    def best_iou(self) -> tuple[Estimate, ...]:
        """Return each unit's IoU with its best concept; the interval is for that concept."""
        if self.columns is None:
            return (Estimate(math.nan, math.nan, math.nan, self.n),) * len(self.all)
        chosen = self.all.argmax(1, keepdim=True)
        values = self.all.gather(1, chosen).flatten().tolist()
        without = torch.stack([iou.gather(1, chosen).flatten() for iou in self.without]).T.tolist()
        return tuple(jackknife(value, parts, self.n) for value, parts in zip(values, without, strict=True))

    def figures(self, units: Tensor) -> dict[str, Estimate]:
        """Return the figures of some units: detectors, of each category too, different concepts, interpretability."""
        values = self._quantities(self.all[units])
        without = [
            self._quantities(iou[units].masked_fill(absent, torch.nan))
            for iou, absent in zip(self.without, self.absent, strict=True)
        ]
        return {name: jackknife(value, [part[name] for part in without], self.n) for name, value in values.items()}

    def _quantities(self, iou: Tensor) -> dict[str, float]:
        """Return the quantities of some units by their IoU with the concepts that are present."""
        detected = self._detected(iou)
        categories = self.table.category_of[self.present][detected]
        return {
            "interpretability": float(iou.nanmean(1).mean()),
            "detectors": float(len(detected)),
            "unique_concepts": float(len(detected.unique())),
        } | {
            f"detectors_{category}": float((categories == number).sum())
            for number, category in enumerate(self.table.categories)
        }

    @staticmethod
    def _detected(iou: Tensor) -> Tensor:
        """Return the concept of each detector among some units."""
        if not iou.numel():
            return torch.zeros(0, dtype=torch.int64, device=iou.device)
        highest = iou.nan_to_num(-1).max(1)
        return highest.indices[highest.values > DETECTOR]


def _count(value: int, n: int) -> Estimate:
    """Return a number of units, which has no interval."""
    return Estimate(float(value), math.nan, math.nan, n)


def _mean_sensitivity(sensitivity: UnitSensitivity, units: Tensor) -> Estimate:
    """Return the mean of v(k) over some units, with the jackknife's interval."""
    groups = [group for group in range(GROUPS) if int(sensitivity.images[group])]
    without = [float(sensitivity.values(group)[units].mean()) for group in groups]
    return jackknife(float(sensitivity.values()[units].mean()), without, int(sensitivity.images.sum()))
