"""Weighted sums of input gradients over several versions of each image, a bounded number of versions at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from advscope.explainers.input_gradient import input_gradients


def weighted_gradients(
    network: nn.Module,
    images: Tensor,
    classes: Tensor,
    versions: Callable[[Tensor, int, int], Tensor],
    weights: Sequence[float],
    chunk_size: int,
    create_graph: bool,
) -> Tensor:
    """Return the weighted sum of the gradients at S versions of each image.

    An image's gradients are added in the order of its versions, one at a time: the sum is the same, bit by bit, for
    every chunk size and batch for which the network's own gradients are.

    Args:
        network: In evaluation mode, its parameters frozen.
        images: ``(N, C, H, W)``.
        classes: int64 ``(N, M)``.
        versions: Returns the versions ``first`` ... ``first + count - 1`` of some images, ``(count, n, C, H, W)``.
        weights: Of the S versions.
        chunk_size: Most versions that go through the network at once, of all images together.
        create_graph: Whether the sum is differentiable with respect to ``images``.

    Returns:
        ``(N, M, C, H, W)``.
    """
    sums = []
    for some, wanted in zip(images.split(chunk_size), classes.split(chunk_size), strict=True):
        at_once = max(1, chunk_size // len(some))
        total = images.new_zeros(len(some), classes.shape[1], *images.shape[1:])
        for first in range(0, len(weights), at_once):
            chosen = weights[first : first + at_once]
            points = versions(some, first, len(chosen))
            labels = wanted.expand(len(chosen), *wanted.shape).flatten(0, 1)
            gradients = input_gradients(network, points.flatten(0, 1), labels, create_graph)
            for weight, gradient in zip(chosen, gradients.unflatten(0, (len(chosen), len(some))), strict=True):
                total = total + weight * gradient
        sums.append(total)
    return torch.cat(sums)
