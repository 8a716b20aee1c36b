"""Sums over each row of a batch whose rounding does not depend on the batch."""

from torch import Tensor


def row_sums(values: Tensor) -> Tensor:
    """Return the sum of each row's values, ``(N,)`` for ``(N, ...)``.

    By halving, in an order that depends on nothing but the number of values: ``torch.sum`` adds a lone row in another
    order than the same row among others.

    Example:
        >>> import torch
        >>> row_sums(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        tensor([ 6., 15.])
    """
    values = values.flatten(1)
    if values.shape[1] == 0:
        return values.sum(1)
    while values.shape[1] > 1:
        half = values.shape[1] // 2
        paired = values[:, :half] + values[:, half : 2 * half]
        if values.shape[1] % 2:
            paired[:, 0] += values[:, -1]
        values = paired
    return values[:, 0]


def spread(values: Tensor) -> Tensor:
    """Return one value per image, ``(N,)``, so that it meets every value of the image: ``(N, 1, 1, 1)``."""
    return values[:, None, None, None]
