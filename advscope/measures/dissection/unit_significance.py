"""Whether the units that an attack moves most are more interpretable than units taken at random."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from advscope.counter_hash import hash32

_UNIT = 2.0**40
"""Scores are compared in steps of 2**-40: sums of whole numbers are equal where the sets are."""

_BLOCK = 4_000_000


def top_units_p_values(
    scores: Tensor, sensitivity: Tensor, tops: Sequence[int], draws: int = 10_000, seed: int = 0
) -> dict[int, float]:
    r"""Return how rarely random units score as high as the N most sensitive ones, for each N.

    .. math:: p(N) = \frac{1 + \#\{\sum_{k \in \text{random } N} s_k \ge \sum_{k \in \text{top } N} s_k\}}
        {1 + \text{draws}}

    Random units are drawn without replacement, as a function of (seed, draw); those of a smaller N are the first of
    those of a larger. Units with equal sensitivity rank in their order.

    Args:
        scores: What units are judged by, as their interpretability: at least 0, ``(K,)``.
        sensitivity: What ranks them, ``(K,)``.
        tops: The N, each at least 1.
        draws: Random sets for each N.
        seed: Seed of the draws.

    Returns:
        For each N its p, in (0, 1]. Units for which either is ``nan`` are left out; ``nan`` where no more than N are
        left.

    Raises:
        ValueError: If an N or ``draws`` is less than 1, or the shapes differ.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        with the correction that counts the observed set among the draws. https://arxiv.org/abs/1904.02057
    """
    if draws < 1 or any(top < 1 for top in tops):
        raise ValueError(f"tops and draws must be at least 1, got {list(tops)} and {draws}")
    if scores.ndim != 1 or scores.shape != sensitivity.shape:
        raise ValueError(f"scores and sensitivity must be (K,), got {tuple(scores.shape)}, {tuple(sensitivity.shape)}")
    known = ~(scores.isnan() | sensitivity.isnan())
    whole = (scores[known].double() * _UNIT).round().long()
    count = len(whole)
    possible = [top for top in tops if top < count]
    if not possible:
        return dict.fromkeys(tops, math.nan)
    ranked = whole[sensitivity[known].argsort(descending=True, stable=True)].cumsum(0)
    reached = dict.fromkeys(possible, 0)
    units = torch.arange(count, device=whole.device)
    for block in torch.arange(draws, device=whole.device).split(max(1, _BLOCK // count)):
        # The units with the smallest random keys are a set drawn without replacement; no two keys are equal.
        keys = hash32(seed, block[:, None], units) * count + units
        chosen = keys.topk(max(possible), dim=1, largest=False).indices
        sums = whole[chosen].cumsum(1)
        for top in possible:
            reached[top] += int((sums[:, top - 1] >= ranked[top - 1]).sum())
    return {top: (1 + reached[top]) / (1 + draws) if top in reached else math.nan for top in tops}
