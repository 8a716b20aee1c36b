"""Correlations within each row: Pearson's r and Kendall's tau-b."""

import torch
from torch import Tensor

_PAIRS_AT_ONCE = 2**22


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Return Pearson's correlation of each row of two tensors.

    Args:
        first: ``(N, m)``.
        second: ``(N, m)``.

    Returns:
        In [-1, 1], float64 ``(N,)``; ``nan`` where a row is constant or holds a ``nan``.

    Raises:
        ValueError: If the shapes are not one ``(N, m)``.

    Example:
        >>> pearson(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[5.0, 3.0, 1.0]]))
        tensor([-1.0000], dtype=torch.float64)
    """
    _check(first, second)
    first, second = _standardised(first), _standardised(second)
    return (first * second).sum(1).clamp(-1.0, 1.0)


def kendall(first: Tensor, second: Tensor) -> Tensor:
    """Return Kendall's tau-b of each row of two tensors: concordant minus discordant pairs, corrected for ties.

    Args:
        first: ``(N, m)``.
        second: ``(N, m)``.

    Returns:
        In [-1, 1], float64 ``(N,)``; ``nan`` where a row is constant or holds a ``nan``.

    Raises:
        ValueError: If the shapes are not one ``(N, m)``.

    References:
        Kendall, *The Treatment of Ties in Ranking Problems*, Biometrika 33, 1945.

    Example:
        >>> kendall(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]]))  # 2 pairs agree, 1 does not
        tensor([0.3333], dtype=torch.float64)
    """
    _check(first, second)
    # All pairs of a few rows at a time: m * m numbers a row, whatever the number of rows.
    rows = max(1, _PAIRS_AT_ONCE // max(1, first.shape[1] ** 2))
    parts = [_tau(one, other) for one, other in zip(first.split(rows), second.split(rows), strict=True)]
    return torch.cat(parts)


def _tau(first: Tensor, second: Tensor) -> Tensor:
    one, other = _orders(first), _orders(second)
    agreement = (one * other).sum((1, 2))
    untied = one.square().sum((1, 2)) * other.square().sum((1, 2))
    return (agreement / untied.sqrt()).clamp(-1.0, 1.0)


def _orders(values: Tensor) -> Tensor:
    """Return the sign of the difference of every pair, ``(N, m, m)``."""
    values = values.double()
    signs = (values[:, :, None] - values[:, None, :]).sign()
    # The sign of nan is 0 in torch, which would be a tie.
    return signs.masked_fill(values.isnan().any(1)[:, None, None], torch.nan)


def _standardised(values: Tensor) -> Tensor:
    """Return the rows with mean 0 and norm 1; a constant row becomes ``nan``, also where its mean is rounded."""
    values = values.double()
    constant = values.amax(1, keepdim=True) == values.amin(1, keepdim=True)
    centred = values - values.mean(1, keepdim=True)
    # To the largest first: squares of tiny numbers underflow.
    centred = centred / centred.abs().amax(1, keepdim=True)
    norms: Tensor = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    standardised: Tensor = centred / norms
    return standardised.masked_fill(constant, torch.nan)


def _check(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or first.shape != second.shape or first.shape[1] == 0:
        raise ValueError(f"both must be of one shape (N, m), m > 0, got {tuple(first.shape)} and {tuple(second.shape)}")
