"""Bilinear sampling whose every step is one rounded operation: the same bits on any device and in any batch."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Axis(NamedTuple):
    """Between which two places of an axis, and where between them, each target place is."""

    low: Tensor
    """The place before, int64 ``(target,)``."""
    high: Tensor
    """The place after; the last one again at the end, int64 ``(target,)``."""
    share: Tensor
    """How far it is towards the place after, float32 in [0, 1), ``(target,)``."""

    def part(self, first: int, last: int) -> "Axis":
        """Return the target places from ``first`` up to ``last``, counted from the place before the first of them."""
        origin = self.low[first]
        return Axis(self.low[first:last] - origin, self.high[first:last] - origin, self.share[first:last])


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def axis(source: int, target: int, align_corners: bool = False, device: str = "cpu") -> Axis:
    """Return where ``target`` places are among ``source`` ones.

    Args:
        source: Places that there are.
        target: Places that are wanted.
        align_corners: The first and the last places are those of the source; else places are centres of pixels, and
            those beyond the first and the last centre have its value.
        device: Where the tensors are wanted.
    """
    places = torch.arange(target, dtype=torch.float64)
    # Products of whole numbers first, one division: the last place is then the last one of the source, exactly.
    at = places * (source - 1) / max(1, target - 1) if align_corners else (places + 0.5) * source / target - 0.5
    at = at.clamp(0, source - 1)
    low = at.floor().long()
    share = (at - low).float().clamp(max=1 - 2**-20)
    return Axis(*(part.to(device) for part in (low, (low + 1).clamp(max=source - 1), share)))


def sampled(maps: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Return maps at other places, ``(H, W, ...)``.

    A value is a + t (b - a), down the rows first, and lies between those that it is taken from: exactly, also after
    rounding. So a plateau stays a plateau. Each step is rounded by itself; fused steps, as in matrix products and in
    ``interpolate``, would round otherwise for other shapes and memory formats.

    Args:
        maps: Float32 ``(h, w, ...)``.
        rows: The ``H`` places among the ``h``.
        columns: The ``W`` places among the ``w``.
    """
    down = _between(maps, rows, 0)
    return _between(down, columns, 1)


def _between(values: Tensor, places: Axis, dimension: int) -> Tensor:
    """Return values between their neighbours along a dimension."""
    shape = [1] * values.ndim
    shape[dimension] = -1
    step = values.index_select(dimension, places.high)
    start = values.index_select(dimension, places.low)
    return step.sub_(start).mul_(places.share.view(shape)).add_(start)
