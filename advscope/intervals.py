"""Figures with their number of observations and 95% interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

Z95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""


_T95 = (12.706204736174696, 4.302652729749462, 3.182446305283708, 2.7764451051977934, 2.570581835636314,
        2.4469118511449692, 2.3646242515927844, 2.306004135204166, 2.2621571628540993)  # fmt: skip
"""The 97.5% quantiles of Student's distribution with 1 to 9 degrees of freedom."""

_ROUNDING = 1e-12
"""Share of a sum of squares below which a sum of squared deviations is nothing but rounding."""


class Estimate(NamedTuple):
    """A figure, its 95% interval, the number of images it is taken over, and the number for which it is undefined."""

    value: float
    low: float
    high: float
    n: int
    undefined: int = 0


def rate(successes: float, n: int) -> Estimate:
    """Return a share of ``n`` images with Wilson's 95% interval; ``nan`` for ``n = 0``.

    Args:
        successes: How many of them; a mean of several such counts need not be a whole number.
        n: Number of images.

    References:
        Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, JASA 22, 1927.

    Example:
        >>> [round(number, 3) for number in rate(8, 10)[:3]]
        [0.8, 0.49, 0.943]
    """
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share = successes / n
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    # At 0 and n the interval ends at the share itself; rounding must not push it past.
    return Estimate(share, min(max(0.0, centre - half), share), max(min(1.0, centre + half), share), n)


def mean(total: float, squares: float, n: int, undefined: int = 0) -> Estimate:
    """Return a mean over ``n`` images with the interval mean +- 1.96 s / sqrt(n).

    Values that differ by less than a millionth of their size count as equal: the difference of the sums is rounding
    then, another one for every order of the images, and an interval made of it would tell the batch size.

    Args:
        total: Sum of the values.
        squares: Sum of their squares.
        n: Number of values; the mean is ``nan`` for 0, and its interval for fewer than 2.
        undefined: Number of images for which the value is undefined (not part of ``n``).
    """
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, undefined)
    centre = total / n
    if n == 1:
        return Estimate(centre, math.nan, math.nan, 1, undefined)
    deviations = squares - n * centre**2
    variance = deviations / (n - 1) if deviations > _ROUNDING * squares else 0.0
    half = Z95 * math.sqrt(variance / n)
    return Estimate(centre, centre - half, centre + half, n, undefined)


def jackknife(value: float, without: Sequence[float], n: int, undefined: int = 0) -> Estimate:
    """Return a figure with the interval of a delete-one-group jackknife, value +- t standard errors.

    For figures that are no means of images: ratios of totals, counts of units. A standard error of few groups is
    uncertain itself: t is the quantile of Student's distribution with a degree of freedom less than there are groups,
    2.26 for 10 of them. With 1.96 the interval would hold the figure in 92% of cases, not 95%.

    Args:
        value: The figure over all images.
        without: The figure without each group of images in turn, for the groups that hold any; at most 10.
        n: Number of images.
        undefined: Number of images for which the figure is undefined.

    Returns:
        The interval is ``nan`` where there are fewer than two groups, or one of the figures is.

    Raises:
        ValueError: If there are more than 10 groups.

    References:
        Efron & Stein, *The Jackknife Estimate of Variance*, Annals of Statistics 9, 1981.

    Example:
        >>> [round(number, 3) for number in jackknife(2.0, [1.9, 2.0, 2.1], n=30)[:3]]
        [2.0, 1.503, 2.497]
    """
    groups = len(without)
    if groups > len(_T95) + 1:
        raise ValueError(f"without must hold at most {len(_T95) + 1} groups, got {groups}: form fewer, larger ones")
    if groups < 2 or any(math.isnan(figure) for figure in (value, *without)):
        return Estimate(value, math.nan, math.nan, n, undefined)
    centre = sum(without) / groups
    variance = (groups - 1) / groups * sum((figure - centre) ** 2 for figure in without)
    half = _T95[groups - 2] * math.sqrt(variance)
    return Estimate(value, value - half, value + half, n, undefined)
