"""Sums over sets of units that are drawn at random without replacement, stratum by stratum."""

import torch
from torch import Tensor

from advscope.counter_hash import hash32

_ELEMENTS = 1 << 21
"""Numbers that are shuffled at once: what a processor's cache holds."""


def random_sums(values: Tensor, sizes: Tensor, counts: Tensor, draws: int, seed: int) -> Tensor:
    """Return what random sets add up to, which hold a given number of each stratum's values.

    A set is a partial shuffle of each stratum (Fisher and Yates), whose steps are hashes of (seed, stratum, step,
    draw): it depends on nothing else, and the values of a smaller set are among those of a larger one. Each set is as
    likely as any other to 1 part in 2**32 / size.

    Args:
        values: Whole numbers of each stratum, int64 ``(S, m)``; those behind a stratum's size do not count.
        sizes: Numbers of values of the strata, int64 ``(S,)``, at most m.
        counts: How many each set takes from each stratum, int64 ``(T, S)``, at most their sizes.
        draws: Number of sets of each of the ``T`` kinds.
        seed: Seed of the draws.

    Returns:
        int64 ``(T, draws)``.

    Raises:
        ValueError: If a stratum has fewer values than are to be taken from it.
    """
    if (counts > sizes).any() or (sizes > values.shape[1]).any():
        raise ValueError(f"counts must be at most sizes {sizes.tolist()}, got {counts.tolist()}")
    most = counts.amax(0)
    # Those of which most are taken come first: the strata that still take part in a step are the first ones.
    strata = most.argsort(descending=True, stable=True)
    strata = strata[: int((most > 0).sum())]
    values, sizes, counts, most = values[strata], sizes[strata], counts[:, strata], most[strata]
    parts = torch.arange(draws, device=values.device).split(max(1, _ELEMENTS // max(1, values.numel())))
    return torch.cat([_sums(values, sizes, counts, most, strata, part, seed) for part in parts], dim=1)


def _sums(
    values: Tensor, sizes: Tensor, counts: Tensor, most: Tensor, strata: Tensor, draws: Tensor, seed: int
) -> Tensor:
    """Return the sums of some draws, ``(T, len(draws))``."""
    sums = values.new_zeros(len(counts), len(draws))
    left = values[:, :, None].repeat(1, 1, len(draws))
    for step in range(int(most.max()) if len(most) else 0):
        active = int((most > step).sum())
        numbers = hash32(seed, strata[:active, None], step, draws)
        # Where the next value of each stratum lies among those that are left, behind the ones taken.
        places = step + ((numbers * (sizes[:active, None] - step)) >> 32)
        taken = left[:active].gather(1, places[:, None])
        left[:active].scatter_(1, places[:, None], left[:active, step, None].clone())
        wanted = counts[:, :active, None] > step
        sums += (taken[:, 0] * wanted).sum(1)
    return sums
