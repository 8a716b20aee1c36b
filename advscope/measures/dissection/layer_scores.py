"""What the counts of a layer say of its units: IoU, best concepts, detectors, and their intervals."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from advscope.concepts import Concept
from advscope.intervals import Estimate, jackknife
from advscope.measures.dissection.concept_tally import ConceptTally


class LayerScores:
    """The IoU of a layer's units with every concept, and what follows from it.

    The figures without each group of images, of which intervals are made, are taken group by group: the IoU of all
    units with all concepts of Broden takes 20 MB.

    Args:
        tally: Where units and concepts met.
        union: Union of IoU, ``"all"`` or ``"category"``.
        detector: A unit whose best IoU exceeds this is a detector.
        choices: Sets of units to give figures of, bool ``(K,)``, by the suffix of the figures' names.

    Attributes:
        n: Number of images.
        iou: IoU of units and concepts, float64 ``(K, C)``; ``nan`` where the union is empty.
        present: Which concepts are on some pixel, bool ``(C,)``.
        interpretability: IoU(k), the mean over the concepts that are present, float64 ``(K,)``.
        columns: Place of each unit's best concept in the table, the first of several, int64 ``(K,)``; None where no
            concept is present.
        best_iou: IoU with it; the interval is for that concept.
        figures: ``interpretability``, ``detectors``, ``unique_concepts`` and ``detectors_{category}`` of each choice;
            ``nan`` where there are no images.
    """

    def __init__(self, tally: ConceptTally, union: str, detector: float, choices: Mapping[str, Tensor]) -> None:
        self.table = tally.table
        self.detector = detector
        self.n = int(tally.images.sum())
        self.iou = tally.iou(union)
        # Concepts without a pixel have IoU 0 or none, which says nothing of the units.
        areas = tally.concept_areas.sum(0)
        self.present = areas > 0
        self.places = self.present.nonzero().flatten()
        all_groups = self.iou[:, self.present]
        self.interpretability = all_groups.mean(1)
        chosen = all_groups.argmax(1, keepdim=True) if len(self.places) else None
        self.columns = None if chosen is None else self.places[chosen.flatten()]
        values = {suffix: self._quantities(all_groups[units]) for suffix, units in choices.items()}
        without: dict[str, list[dict[str, float]]] = {suffix: [] for suffix in choices}
        best_without = []
        for group, iou in tally.iou_without(union, self.places):
            if chosen is not None:
                best_without.append(iou.gather(1, chosen).flatten())
            # A concept on the images of one group alone is absent without that group, and part of no mean there.
            present = iou.masked_fill((areas == tally.concept_areas[group])[self.present], torch.nan)
            for suffix, units in choices.items():
                without[suffix].append(self._quantities(present[units]))
        self.best_iou = self._best_iou(all_groups, chosen, best_without)
        self.figures = {
            name + suffix: jackknife(value, [part[name] for part in without[suffix]], self.n)
            for suffix, quantities in values.items()
            for name, value in quantities.items()
        }

    @property
    def best(self) -> tuple[Concept | None, ...]:
        """The best concept of each unit; None where no concept is present."""
        if self.columns is None:
            return (None,) * len(self.iou)
        return tuple(self.table.concepts[column] for column in self.columns.tolist())

    def _best_iou(self, iou: Tensor, chosen: Tensor | None, without: list[Tensor]) -> tuple[Estimate, ...]:
        if chosen is None:
            return (Estimate(math.nan, math.nan, math.nan, self.n),) * len(iou)
        values = iou.gather(1, chosen).flatten().tolist()
        parts = torch.stack(without).T.tolist()
        return tuple(jackknife(value, part, self.n) for value, part in zip(values, parts, strict=True))

    def _quantities(self, iou: Tensor) -> dict[str, float]:
        """Return the quantities of some units by their IoU with the concepts that are present; nan without images."""
        detected = self._detected(iou)
        categories = self.table.category_of[self.present][detected]
        quantities = {
            "interpretability": float(iou.nanmean(1).mean()),
            "detectors": float(len(detected)),
            "unique_concepts": float(len(detected.unique())),
        } | {
            f"detectors_{category}": float((categories == number).sum())
            for number, category in enumerate(self.table.categories)
        }
        # No unit detects what no image was looked at for: that is not 0 detectors.
        return quantities if self.n else dict.fromkeys(quantities, math.nan)

    def _detected(self, iou: Tensor) -> Tensor:
        """Return the concept of each detector among some units."""
        if not iou.numel():
            return torch.zeros(0, dtype=torch.int64, device=iou.device)
        highest = iou.nan_to_num(-1).max(1)
        return highest.indices[highest.values > self.detector]
