"""Carlini and Wagner's search for the fewest pixels: pixels that matter least are given back, round by round."""

from collections.abc import Callable

import torch
from torch import Tensor

from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.row_sums import spread

SHARE = 0.3
"""Share of the changed pixels that is given back in a round; halved after a failure."""

LEAST_SHARE = 0.03
"""The search for an image ends when the share falls below this."""


def fewest_pixels(hinge: Hinge, box: Box, attack: Callable[[Hinge, Box], Tensor]) -> Tensor:
    r"""Return images of few changed pixels, ``(N, C, H, W)``; the last images of the first round where it fails.

    A round runs an l2 attack on the pixels that are left. Where it succeeds, the changed pixels of the least
    :math:`\sum_c |\delta_c| \, |\nabla_c m|`, an estimate of what the margin owes them, are given back; where it fails,
    the last success is taken up again and fewer are given back, until a single one or 3% was too many. Each image has
    rounds of its own.

    Args:
        hinge: What the network says of the images.
        box: The images and their bounds.
        attack: Returns the images of least l2 norm in a box, ``(N, C, H, W)``.
    """
    results = box.images.clone()
    rows = torch.arange(len(results), device=results.device)
    shares = torch.full((len(results),), SHARE, dtype=results.dtype, device=results.device)
    succeeded = torch.zeros(len(results), dtype=torch.bool, device=results.device)
    # Pixels that the round may change, and how many the success before had beyond them.
    left = torch.ones_like(results[:, :1], dtype=torch.bool)
    given_back = torch.zeros(len(results), dtype=torch.int64, device=results.device)
    while len(rows):
        inner, within = hinge.rows(rows), box.rows(rows)
        tried = Box(
            within.images,
            torch.where(left, within.lower, within.images),
            torch.where(left, within.upper, within.images),
        )
        found = attack(inner, tried)
        standing = inner.at(found)
        results[rows] = torch.where(spread(standing.reached | ~succeeded[rows]), found, results[rows])
        shares[rows] = torch.where(standing.reached, shares[rows], shares[rows] / 2)
        # An image on which the first round fails has nothing to give back.
        succeeded[rows] |= standing.reached
        # Where one pixel was too many no smaller share gives back fewer: the next round would be the same.
        rows = rows[succeeded[rows] & (shares[rows] >= LEAST_SHARE) & (standing.reached | (given_back > 1))]
        if len(rows):
            inner, within = hinge.rows(rows), box.rows(rows)
            changes = results[rows] - within.images
            owed = (changes.abs() * inner.at(results[rows]).gradients.abs()).sum(1, keepdim=True)
            owed = owed.masked_fill(~changes.any(1, keepdim=True), -torch.inf)
            left, given_back = _without_least(owed, shares[rows])
            # The last changed pixel is not given back: the clean image is known to fail.
            several = left.flatten(1).any(1)
            rows, left, given_back = rows[several], left[several], given_back[several]
    return results


def _without_least(owed: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels that stay without a share of the least finite ones, at least one, and how many were left out.

    Args:
        owed: A value for each pixel, minus infinity for those that are out already, ``(N, 1, H, W)``.
        shares: Share to leave out, ``(N,)``.
    """
    values = owed.flatten(1)
    finite = values.isfinite().sum(1)
    least = (shares * finite).floor().clamp(min=1).long()
    # A stable sort: ties go by place, whatever the batch.
    ranks = values.argsort(stable=True, dim=1).argsort(stable=True, dim=1)
    return (ranks >= (values.shape[1] - finite + least)[:, None]).view(owed.shape), least
