"""What a dissection found in one layer."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from advscope.concepts import Concept
from advscope.intervals import Estimate


class DissectedLayer(NamedTuple):
    """The ``K`` units of one layer, in their order, and figures of the layer; ``C`` concepts in their order."""

    threshold: Tensor
    """T_k, float32 ``(K,)``."""
    maxima: Tensor
    """The largest activation of each unit on the clean images, float32 ``(K,)``."""
    kinds: tuple[str, ...]
    """``maximum`` where T_k is the unit's maximum (S > T masks nothing), else ``zero`` where it is 0 (S >= T would mask
    everything), else ``regular``."""
    iou: Tensor
    """IoU of every unit with every concept on the clean images, float64 ``(K, C)``; ``nan`` where neither is on any."""
    adversarial_iou: Tensor
    """The same of the masks on the adversarial images, with the annotation of the clean ones; ``nan`` without any."""
    areas: Tensor
    """Pixels of M_k over all clean images, int64 ``(K,)``."""
    intersections: Tensor
    """Pixels of M_k and each concept, int64 ``(K, C)``."""
    category_areas: Tensor
    """Pixels of M_k in the images with any label of a category, int64 ``(K, categories)``."""
    concept_areas: Tensor
    """Pixels of each concept, int64 ``(C,)``."""
    best: tuple[Concept | None, ...]
    """The concept with which each unit has the highest IoU, the first of several; None where no concept is present."""
    best_iou: tuple[Estimate, ...]
    """IoU with the best concept, in [0, 1]."""
    best_columns: Tensor
    """The place of that concept among the columns of ``iou``, int64 ``(K,)``; -1 where there is none."""
    detectors: Tensor
    """Whether a unit's best IoU makes it a detector, bool ``(K,)``."""
    adversarial_best: tuple[Concept | None, ...]
    """The best concept on the adversarial images; None without any."""
    interpretability: Tensor
    """IoU(k), the mean over the concepts that are present, float64 ``(K,)``."""
    sensitivity: Tensor
    """v(k) over the attacked images, in roots of pixels, float64 ``(K,)``; ``nan`` without any."""
    sensitivity_estimates: tuple[Estimate, ...]
    """The same with intervals, and the number of attacked images."""
    sensitivity_all: tuple[Estimate, ...]
    """v(k) over all images that have an adversarial one, whether or not the attack succeeded."""
    top_images: Tensor
    """The images with the highest activation, by their place in the data set, int64 ``(K, m)``; -1 beyond the last."""
    top_values: Tensor
    """Those activations, falling, float32 ``(K, m)``."""
    figures: Mapping[str, Estimate]
    """Figures of the layer by quantity (docs/measures.md lists them); ``_regular`` is over its regular units alone."""
    counts: Mapping[str, int]
    """Images on which the attack succeeded (``attacked``), did not (``failed``), or that do not count."""

    def rows(self, layer: str) -> list[dict[str, Any]]:
        """Return one mapping per unit, as the per-unit table has them.

        Args:
            layer: Name of the layer.
        """
        pixels = self.figures["mask_pixels"].value * self.figures["mask_pixels"].n
        moved_iou = self.adversarial_iou.gather(1, self.best_columns.clamp(min=0)[:, None])[:, 0]
        moved_iou = moved_iou.masked_fill(self.best_columns < 0, math.nan)
        rows = []
        for unit, (concept, moved) in enumerate(zip(self.best, self.adversarial_best, strict=True)):
            iou, sensitivity = self.best_iou[unit], self.sensitivity_estimates[unit]
            rows.append({
                "layer": layer,
                "unit": unit,
                "threshold": float(self.threshold[unit]),
                "maximum": float(self.maxima[unit]),
                "kind": self.kinds[unit],
                "concept": "" if concept is None else concept.name,
                "category": "" if concept is None else concept.category,
                "iou": iou.value,
                "iou_low": iou.low,
                "iou_high": iou.high,
                "detector": bool(self.detectors[unit]),
                "interpretability": float(self.interpretability[unit]),
                "sensitivity": sensitivity.value,
                "sensitivity_low": sensitivity.low,
                "sensitivity_high": sensitivity.high,
                "sensitivity_all": self.sensitivity_all[unit].value,
                "area": float(self.areas[unit]) / pixels,
                "adversarial_concept": "" if moved is None else moved.name,
                "adversarial_category": "" if moved is None else moved.category,
                "adversarial_iou": float(moved_iou[unit]),
            })  # fmt: skip
        return rows
