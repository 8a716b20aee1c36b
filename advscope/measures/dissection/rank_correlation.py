"""Rank correlations over the units of a layer, with 95% intervals: Spearman's rho and Kendall's tau-b."""

import math

from torch import Tensor

from advscope.intervals import Z95, Estimate
from advscope.measures.correlations import kendall

_FEWEST = 4
"""Fewer pairs have a rank correlation, but say next to nothing: of 3, each order has a chance of 1 in 6."""


def spearman_estimate(first: Tensor, second: Tensor) -> Estimate:
    r"""Return Spearman's rank correlation, Pearson's of the ranks, equal values having the mean of their ranks.

    The interval is :math:`\tanh(\operatorname{artanh} \rho \pm 1.96 \sqrt{(1 + \rho^2 / 2) / (n - 3)})`. Ranks are
    added up in whole numbers, so that the order of the pairs does not change a bit.

    Args:
        first: ``(n,)``.
        second: ``(n,)``.

    Returns:
        In [-1, 1], with n: the pairs of which neither is ``nan``, the others being ``undefined``. ``nan`` where there
        are fewer than 4 pairs or either is constant; its interval also where it is -1 or 1, of which the
        transformation says nothing.

    Raises:
        ValueError: If the shapes are not one ``(n,)``.

    References:
        Spearman, *The Proof and Measurement of Association between Two Things*, American Journal of Psychology 15,
        1904.
        Bonett & Wright, *Sample Size Requirements for Estimating Pearson, Kendall and Spearman Correlations*,
        Psychometrika 65, 2000: the variance of the transformed rho.

    Example:
        >>> import torch
        >>> spearman_estimate(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.tensor([1.0, 3.0, 2.0, 4.0, 5.0])).value
        0.9
    """
    first, second, undefined = _defined(first, second)
    n = len(first)
    if n < _FEWEST:
        return Estimate(math.nan, math.nan, math.nan, n, undefined)
    one, other = _doubled_ranks(first), _doubled_ranks(second)
    # The doubled ranks of n values add up to n (n + 1): their mean is n + 1.
    shared, squares, other_squares = (
        int(product.sum()) - n * (n + 1) ** 2 for product in (one * other, one * one, other * other)
    )
    if squares == 0 or other_squares == 0:
        return Estimate(math.nan, math.nan, math.nan, n, undefined)
    # One root of the product, not two: it is exact where both are the same.
    rho = shared / math.sqrt(squares * other_squares)
    return _with_interval(rho, (1 + rho**2 / 2) / (n - 3), n, undefined)


def kendall_estimate(first: Tensor, second: Tensor) -> Estimate:
    r"""Return Kendall's tau-b: concordant minus discordant pairs of units, corrected for ties.

    The interval is :math:`\tanh(\operatorname{artanh} \tau \pm 1.96 \sqrt{0.437 / (n - 4)})`, which holds up to about
    :math:`|\tau| = 0.8`.

    Args:
        first: ``(n,)``.
        second: ``(n,)``.

    Returns:
        In [-1, 1], as :func:`spearman_estimate`; its interval is ``nan`` for n = 4, too.

    Raises:
        ValueError: If the shapes are not one ``(n,)``.

    References:
        Kendall, *The Treatment of Ties in Ranking Problems*, Biometrika 33, 1945.
        Fieller, Hartley & Pearson, *Tests for Rank Correlation Coefficients I*, Biometrika 44, 1957: the variance of
        the transformed tau.
    """
    first, second, undefined = _defined(first, second)
    n = len(first)
    if n < _FEWEST:
        return Estimate(math.nan, math.nan, math.nan, n, undefined)
    tau = float(kendall(first[None], second[None]))
    return _with_interval(tau, 0.437 / (n - 4) if n > 4 else math.nan, n, undefined)


def _defined(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return the pairs of which neither is nan, and how many others there are."""
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"both must be of one shape (n,), got {tuple(first.shape)} and {tuple(second.shape)}")
    known = ~(first.isnan() | second.isnan())
    return first[known], second[known], int((~known).sum())


def _doubled_ranks(values: Tensor) -> Tensor:
    """Return twice the rank of each value, from 2 to 2 n, int64: the mean of the ranks of equal ones is a half."""
    _, places, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    ranks: Tensor = (2 * last - counts + 1)[places]
    return ranks


def _with_interval(value: float, variance: float, n: int, undefined: int) -> Estimate:
    """Return a correlation with the interval of its transformed value."""
    if math.isnan(value) or abs(value) >= 1:
        return Estimate(value, math.nan, math.nan, n, undefined)
    centre, half = math.atanh(value), Z95 * math.sqrt(variance)
    return Estimate(value, math.tanh(centre - half), math.tanh(centre + half), n, undefined)
