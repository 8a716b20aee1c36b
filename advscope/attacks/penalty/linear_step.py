"""The least perturbation that the linearised network would be fooled by."""

import torch
from torch import Tensor

from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.size import Size
from advscope.attacks.row_sums import row_sums, spread

DOUBLINGS, HALVINGS = 24, 12
"""Steps in which a multiplier is bracketed, fourfold each, and then narrowed down."""


def linear_step(
    size: Size, box: Box, perturbations: Tensor, gradients: Tensor, lacking: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Return the perturbation of least size for which the linearised margin suffices, and its multiplier.

    .. math::
        \min_e g(e) + w \|e - \delta\|_2^2 \quad\text{s.t.}\quad \langle \nabla m, e - \delta \rangle \ge \text{lacking}

    in the box (held by clipping, which is exact for sizes that are sums over pixels). By duality e is the proximal map
    at :math:`2 w \delta + \lambda \nabla m` with the least multiplier that suffices, found by bisection and, at the
    end, interpolation.

    Args:
        size: g.
        box: Bounds of the perturbed images.
        perturbations: delta, ``(N, C, H, W)``.
        gradients: Gradient of the margin at delta, ``(N, C, H, W)``.
        lacking: Logits by which the margin has to grow, may be negative, ``(N,)``; infinite is taken for unknown: the
            answer is then that without the constraint.
        weights: w, ``(N,)``.

    Returns:
        Perturbations e, ``(N, C, H, W)``, and multipliers, at least 0, ``(N,)``. Where the box allows no success the
        multiplier is the largest one tried.
    """
    anchor = spread(2 * weights) * perturbations

    def solution(multipliers: Tensor) -> Tensor:
        shrunk = size.shrunk(anchor + spread(multipliers) * gradients, weights, perturbations)
        return box.clip(box.images + shrunk) - box.images

    def short(candidates: Tensor) -> Tensor:
        return lacking - row_sums(gradients * (candidates - perturbations))

    zeros = torch.zeros_like(lacking)
    free = solution(zeros)
    missing = short(free)
    steepness = row_sums(gradients.square())
    # The exact answer for the squared l2 norm without a box, and a good first guess for the others.
    needed = (missing > 0) & missing.isfinite()
    upper = torch.where(needed & (steepness > 0), 2 * (1 + weights) * missing / steepness, 0)
    lower = zeros
    for _ in range(DOUBLINGS):
        short_of = needed & (short(solution(upper)) > 0) & (steepness > 0)
        if not short_of.any():
            break
        lower, upper = torch.where(short_of, upper, lower), torch.where(short_of, 4 * upper, upper)
    for _ in range(HALVINGS):
        middle = (lower + upper) / 2
        enough = short(solution(middle)) <= 0
        lower, upper = torch.where(enough, lower, middle), torch.where(enough, middle, upper)
    # The shortfall is linear in the perturbation: between the two ends lies one that meets the constraint exactly. The
    # bisection alone is coarse where most of the multiplier goes into a threshold (an l1 norm, a lasso).
    below, above = solution(lower), solution(upper)
    before, after = short(below), short(above)
    shares = torch.where((before > 0) & (after < 0), before / (before - after), 1)
    met = torch.where(spread(shares < 1), below + spread(shares) * (above - below), above)
    return torch.where(spread(needed), met, free), lower + shares * (upper - lower)
