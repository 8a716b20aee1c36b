"""The units of a layer that are ranked by sensitivity, with scores that add up exactly."""

from typing import NamedTuple

from torch import Tensor

_UNIT = 2.0**40
"""Scores are compared in steps of 2**-40: sums of whole numbers are equal where the sets are."""

_ROOM = 2.0**62
"""Sums of all scores, in those steps, stay below this: they fit into int64 with a bit to spare."""


class RankedUnits(NamedTuple):
    """The K' units for which score and sensitivity are defined, in their order."""

    known: Tensor
    """Which of the layer's units these are, bool ``(K,)``."""
    scores: Tensor
    """What they are judged by, in steps of 2**-40, int64 ``(K',)``."""
    order: Tensor
    """Their places from the most to the least sensitive one, int64 ``(K',)``; equal ones in their order."""

    @staticmethod
    def of(scores: Tensor, sensitivity: Tensor) -> "RankedUnits":
        """Rank units, those left out for which either is ``nan``.

        Args:
            scores: At least 0, as the interpretability of units, ``(K,)``.
            sensitivity: What ranks them, ``(K,)``.

        Raises:
            ValueError: If the shapes differ, or a score is negative or too large to be added up exactly.
        """
        if scores.ndim != 1 or scores.shape != sensitivity.shape:
            raise ValueError(
                f"scores and sensitivity must be (K,), got {tuple(scores.shape)}, {tuple(sensitivity.shape)}"
            )
        known = ~(scores.isnan() | sensitivity.isnan())
        exact = scores[known].double()
        limit = _ROOM / _UNIT / max(1, len(exact))
        wrong = exact[(exact < 0) | (exact >= limit)]
        if len(wrong):
            raise ValueError(f"scores must be at least 0 and below {limit:g}, got {float(wrong[0]):g}; scale them")
        order = sensitivity[known].argsort(descending=True, stable=True)
        return RankedUnits(known, (exact * _UNIT).round().long(), order)

    def top_sums(self) -> Tensor:
        """Return the sum of the scores of the 1, 2, ... K' most sensitive units, int64 ``(K',)``."""
        return self.scores[self.order].cumsum(0)
