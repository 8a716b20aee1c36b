"""Figures with their number of observations and 95% interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

Z95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""


class Estimate(NamedTuple):
    """A figure, its 95% interval, the number of images it is taken over, and the number for which it is undefined."""

    value: float
    low: float
    high: float
    n: int
    undefined: int = 0


def rate(successes: int, n: int) -> Estimate:
    """Return a share of ``n`` images with Wilson's 95% interval; ``nan`` for ``n = 0``.

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
    variance = max(0.0, squares - n * centre**2) / (n - 1)
    half = Z95 * math.sqrt(variance / n)
    return Estimate(centre, centre - half, centre + half, n, undefined)


def jackknife(value: float, without: Sequence[float], n: int, undefined: int = 0) -> Estimate:
    """Return a figure with the interval of a delete-one-group jackknife, value +- 1.96 standard errors.

    For figures that are no means of images: ratios of totals, counts of units.

    Args:
        value: The figure over all images.
        without: The figure without each group of images in turn, for the groups that hold any.
        n: Number of images.
        undefined: Number of images for which the figure is undefined.

    Returns:
        The interval is ``nan`` where there are fewer than two groups, or one of the figures is.

    References:
        Efron & Stein, *The Jackknife Estimate of Variance*, Annals of Statistics 9, 1981.

    Example:
        >>> jackknife(2.0, [1.5, 2.5], n=20)
        Estimate(value=2.0, low=1.0200180077299732, high=2.979981992270027, n=20, undefined=0)
    """
    groups = len(without)
    if groups < 2 or any(math.isnan(figure) for figure in (value, *without)):
        return Estimate(value, math.nan, math.nan, n, undefined)
    centre = sum(without) / groups
    variance = (groups - 1) / groups * sum((figure - centre) ** 2 for figure in without)
    half = Z95 * math.sqrt(variance)
    return Estimate(value, value - half, value + half, n, undefined)
