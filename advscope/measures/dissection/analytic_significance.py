"""The p of the most sensitive units without random draws: exact where all sets can be counted, else approximate."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from advscope.measures.dissection.ranked_units import RankedUnits
from advscope.measures.dissection.unit_significance import check_draws

SETS = 200_000
"""All sets of N units are counted where there are no more than this."""


class AnalyticP(NamedTuple):
    """A p and how it was found."""

    p: float
    """In (0, 1], or in [0, 1] for the approximation; ``nan`` where there are no more than N units."""
    method: str
    """``exact``, ``normal``, or nothing where p is ``nan``."""


def analytic_p_values(
    scores: Tensor, sensitivity: Tensor, tops: Sequence[int], sets: int = SETS
) -> dict[int, AnalyticP]:
    r"""Return the share of all sets of N units that score as high as the N most sensitive ones, for each N.

    Exact where there are at most ``sets`` such sets: each is added up in whole numbers. Else the sum over a random set
    of N of K units, whose scores have mean m and variance (with divisor K) of s\ :sup:`2`, is taken as normal:

    .. math:: p(N) \approx 1 - \Phi\left(\frac{\sum_{k \in \text{top } N} s_k - N m}
        {\sqrt{N s^2 (K - N) / (K - 1)}}\right)

    It is 1 where all scores are equal, as the exact one is.

    Args:
        scores: What units are judged by, as their interpretability: at least 0, ``(K,)``.
        sensitivity: What ranks them, ``(K,)``; equal ones rank in their order.
        tops: The N, each at least 1.
        sets: Up to how many sets are counted.

    Returns:
        For each N its p. Units for which either is ``nan`` are left out; ``nan`` where no more than N are left.

    Raises:
        ValueError: If an N is less than 1, the shapes differ, or a score is negative or huge.

    References:
        Cochran, *Sampling Techniques*, 3rd edition, 1977, theorem 2.2: the variance of a sum without replacement.
        Hájek, *Limiting Distributions in Simple Random Sampling from a Finite Population*, 1960: that it is normal in
        the limit.
    """
    check_draws(tops)
    ranked = RankedUnits.of(scores, sensitivity)
    values: list[int] = ranked.scores.tolist()
    observed: list[int] = ranked.top_sums().tolist()
    found = {}
    for top in tops:
        if top >= len(values):
            found[top] = AnalyticP(math.nan, "")
        elif math.comb(len(values), top) <= sets:
            found[top] = AnalyticP(_exact(values, observed[top - 1], top), "exact")
        else:
            found[top] = AnalyticP(_normal(values, observed[top - 1], top), "normal")
    return found


def _exact(values: list[int], observed: int, top: int) -> float:
    """Return the share of the sets whose sum reaches the observed one."""
    # A set and what it leaves add up to the total: the smaller of the two is added up.
    rest = len(values) - top
    if rest < top:
        most = sum(values) - observed
        reached = sum(sum(left) <= most for left in itertools.combinations(values, rest))
    else:
        reached = sum(sum(chosen) >= observed for chosen in itertools.combinations(values, top))
    return reached / math.comb(len(values), top)


def _normal(values: list[int], observed: int, top: int) -> float:
    """Return the normal approximation; whole numbers up to the last step, so that equal scores are seen as equal."""
    count, total = len(values), sum(values)
    spread = count * sum(value * value for value in values) - total * total
    if spread == 0:
        return 1.0
    deviation = math.sqrt(top * (count - top) / (count - 1)) * math.sqrt(spread)
    return 0.5 * math.erfc((count * observed - top * total) / deviation / math.sqrt(2))
