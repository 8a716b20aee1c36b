"""The last stretch: along the decision boundary to its nearest point, by exact steps on the linearised network."""

from collections.abc import Callable

import torch
from torch import Tensor

from advscope.attacks.penalty.best import Best
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.penalty.linear_step import linear_step
from advscope.attacks.penalty.size import Size
from advscope.attacks.row_sums import row_sums

MOVES = (0.1, 0.01)
"""Length of the first and the last move, as shares of the perturbation's l2 norm."""

OVERSHOOTS = (0.02, 0.001)
"""Margin that the first and the last move aim at beyond kappa, as shares of gradient norm times perturbation norm."""

TRIALS = 20
"""Weights that are tried before the first move, each at most twice or half the one before."""


def polish(
    hinge: Hinge, box: Box, points: Tensor, size: Size, worth: Callable[[Tensor], Tensor], best: Best, steps: int
) -> Tensor:
    """Improve the best images by proximal-linear steps from given points; return the last points.

    Each step linearises the margin at the present point and solves the rest of the problem exactly
    (:func:`~advscope.attacks.penalty.linear_step.linear_step`). A subgradient method swings about the boundary, where
    the hinge has its kink; these steps stay on it. How far they go is held to a share of the perturbation that shrinks
    from step to step, by adapting the weight of staying near.

    Args:
        hinge: What the network says.
        box: Bounds of the images.
        points: Where to start, ``(N, C, H, W)``.
        size: What is minimised.
        worth: By what successes are compared, ``(N,)`` of perturbations.
        best: The best images so far, updated in place.
        steps: Number of steps, each a forward and a backward pass.
    """
    weights = torch.full_like(best.worths, 1 / MOVES[0] - 1)
    for step in range(steps):
        standing = hinge.at(points)
        perturbations = points - box.images
        best.update(points, worth(perturbations), standing.reached)
        share = step / steps
        length = row_sums(perturbations.square()).sqrt()
        beyond = _between(OVERSHOOTS, share) * row_sums(standing.gradients.square()).sqrt() * length
        lacking, wanted = standing.lacking + beyond, _between(MOVES, share) * length
        # The right weight differs by orders of magnitude between sizes: it is found before the first move.
        for _ in range(1 if step else TRIALS):
            moved, _ = linear_step(size, box, perturbations, standing.gradients, lacking, weights)
            ratio = (row_sums((moved - perturbations).square()).sqrt() / wanted).nan_to_num(nan=1.0)
            off = (ratio > 2) | (ratio < 0.5) if step == 0 else torch.ones_like(ratio, dtype=torch.bool)
            if not off.any():
                break
            weights = torch.where(off, weights * ratio.clamp(0.5, 2.0), weights)
        points = box.clip(box.images + moved)
    return points


def _between(ends: tuple[float, float], share: float) -> float:
    """Return the geometric interpolation of two numbers."""
    first, last = ends
    return float(first * (last / first) ** share)
