"""Adding up over processes what each has counted."""

import torch
from torch import Tensor, distributed


def summed(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, the tensor itself where there is one process."""
    return _reduced(tensor, distributed.ReduceOp.SUM) if _several() else tensor


def highest(tensor: Tensor) -> Tensor:
    """Return the maximum of a tensor over all processes, the tensor itself where there is one process."""
    return _reduced(tensor, distributed.ReduceOp.MAX) if _several() else tensor


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
