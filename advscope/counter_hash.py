"""Random numbers that are a function of what they are for, the same on every device.

A number is the hash of its counters (seed, epoch, index, ...). It does not depend on the batch, the order, the process
or the global random state, so that whatever is built on it (random starts, shuffling, augmentation) does not either.
The hash is integer arithmetic modulo 2**32 alone, which gives the same bits on every CPU and GPU.
"""

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def _mix(values: Tensor) -> Tensor:
    """Return a bijective hash of 32-bit integers held in int64 (the `lowbias32` constants of C. Wellons)."""
    values = values ^ (values >> 16)
    values = (values * 0x7FEB352D) & _MASK
    values = values ^ (values >> 15)
    values = (values * 0x846CA68B) & _MASK
    return values ^ (values >> 16)


def hash32(*counters: int | Tensor) -> Tensor:
    """Return the hash of broadcast counters, int64 in [0, 2**32).

    Args:
        *counters: Integers, or int64 tensors that broadcast against each other; at least one is a tensor.
            Each counts with its lower 64 bits; their order matters.

    Raises:
        ValueError: If no counter is a tensor.

    Example:
        >>> hash32(0, torch.tensor([0, 1, 2]))
        tensor([2627897690,  898706082, 3971473001])
    """
    tensors = [counter for counter in counters if isinstance(counter, Tensor)]
    if not tensors:
        raise ValueError("hash32 takes at least one tensor among its counters, got none")
    state = torch.zeros((), dtype=torch.int64, device=tensors[0].device)
    for counter in counters:
        # A stream for each place: (1, 2) and (2, 1) differ, and so do (0,) and (0, 0).
        low = counter & _MASK
        high = (counter >> 32) & _MASK
        state = _mix((state + 0x9E3779B9 + low) & _MASK)
        state = _mix((state + 0x85EBCA6B + high) & _MASK)
    return state


def uniform(*counters: int | Tensor) -> Tensor:
    """Return numbers in [0, 1) with 24 random bits, float32, from broadcast counters; see :func:`hash32`."""
    return (hash32(*counters) >> 8).to(torch.float32) * 2.0**-24


def normal(*counters: int | Tensor) -> Tensor:
    """Return standard normal numbers, float32, from broadcast counters (Box-Muller); see :func:`hash32`.

    Computed in float64 and rounded, so that the devices' different logarithms and cosines leave float32 alike.
    """
    radius = (1 - uniform(*counters, 1).double()).log().mul(-2).sqrt()
    angle = uniform(*counters, 2).double() * (2 * torch.pi)
    return (radius * angle.cos()).float()


def permutation(count: int, *counters: int) -> Tensor:
    """Return a random order of ``count`` things, int64 ``(count,)``, as a function of the counters alone."""
    places = torch.arange(count)
    high, low = hash32(*counters, 1, places), hash32(*counters, 2, places)
    # 62 bits: ties are next to impossible, and a stable sort settles them.
    return ((high >> 1) << 31 | (low >> 1)).argsort(stable=True)
