"""Adding up over processes what each has counted, and handing round what each has found."""

from typing import TypeVar

import torch
from torch import Tensor, distributed

_Found = TypeVar("_Found")


def summed(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, the tensor itself where there is one process."""
    return _reduced(tensor, distributed.ReduceOp.SUM) if _several() else tensor


def highest(tensor: Tensor) -> Tensor:
    """Return the maximum of a tensor over all processes, the tensor itself where there is one process."""
    return _reduced(tensor, distributed.ReduceOp.MAX) if _several() else tensor


def gathered(found: _Found) -> list[_Found]:
    """Return what every process has found, by its rank; a list of one where there is one process.

    Args:
        found: Anything that can be pickled; it is held in memory once per process.
    """
    if not _several():
        return [found]
    everything: list[_Found | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everything, found)
    # Each place was filled with another process's object, which is of the same type.
    return [each for each in everything if each is not None]


def is_first() -> bool:
    """Whether this is the process that speaks for all: the first one, or the only one."""
    return not _several() or distributed.get_rank() == 0


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _reduced(tensor: Tensor, operation: distributed.ReduceOp.RedOpType) -> Tensor:
    result = tensor.clone()
    distributed.all_reduce(result, op=operation)
    return result


def stacked(tensor: Tensor) -> Tensor:
    """Return the tensors of all processes, which are of one shape, ``(processes, ...)``, by rank."""
    if not _several():
        return tensor[None]
    parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)
