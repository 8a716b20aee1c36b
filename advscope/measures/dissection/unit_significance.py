"""Whether the units that an attack moves most are more interpretable than units taken at random."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from advscope.measures.dissection.random_sums import random_sums
from advscope.measures.dissection.ranked_units import RankedUnits


def top_units_p_values(
    scores: Tensor, sensitivity: Tensor, tops: Sequence[int], draws: int = 10_000, seed: int = 0
) -> dict[int, float]:
    r"""Return how rarely random units score as high as the N most sensitive ones, for each N.

    .. math:: p(N) = \frac{1 + \#\{\sum_{k \in \text{random } N} s_k \ge \sum_{k \in \text{top } N} s_k\}}
        {1 + \text{draws}}

    Random units are drawn without replacement, as a function of (seed, draw); those of a smaller N are among those of
    a larger. Units with equal sensitivity rank in their order.

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
        ValueError: If an N or ``draws`` is less than 1, the shapes differ, or a score is negative or huge.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        section 5, with the correction that counts the observed set among the draws. https://arxiv.org/abs/1904.02057
    """
    check_draws(tops, draws)
    ranked = RankedUnits.of(scores, sensitivity)
    count = len(ranked.scores)
    possible = [top for top in dict.fromkeys(tops) if top < count]
    if not possible:
        return dict.fromkeys(tops, math.nan)
    counts = torch.tensor(possible, device=ranked.scores.device)[:, None]
    sums = random_sums(ranked.scores[None], torch.full_like(counts[0], count), counts, draws, seed)
    reached = (sums >= ranked.top_sums()[counts - 1]).sum(1).tolist()
    p_values = {top: (1 + number) / (1 + draws) for top, number in zip(possible, reached, strict=True)}
    return {top: p_values.get(top, math.nan) for top in tops}


def check_draws(tops: Sequence[int], draws: int = 1) -> None:
    """Check the numbers N of units and of draws.

    Raises:
        ValueError: If one is less than 1.
    """
    if draws < 1 or any(top < 1 for top in tops):
        raise ValueError(f"tops and draws must be at least 1, got {list(tops)} and {draws}")
