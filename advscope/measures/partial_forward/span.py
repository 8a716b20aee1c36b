"""The positions along one side of a feature map that cells change, and windows of one length around them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Slide(NamedTuple):
    """How an operation moves along one side: output position o reads o * stride - padding + tap * dilation."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0
    """Positions before the first one; those after the last one follow from the sizes."""
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Return the distance from the first tap to the last one."""
        return (self.kernel - 1) * self.dilation


POINT = Slide()
"""Of an operation that reads what it writes: each position by itself."""


class Span(NamedTuple):
    """What each of ``m`` cells changes along one side of a map: positions ``first`` ... ``end`` - 1, none if equal.

    Around it lies a window of a length that all cells share, so that their windows make one batch; it is shifted to
    stay inside the map.
    """

    first: Tensor
    """int64 ``(m,)``."""
    end: Tensor
    """int64 ``(m,)``."""
    start: Tensor
    """First position of the window, int64 ``(m,)``."""
    length: int
    """Of the window."""
    size: int
    """Of the side."""

    @property
    def whole(self) -> bool:
        """Return whether the window is the whole side."""
        return self.length == self.size

    def widened(self) -> "Span":
        """Return the same changes in a window that is the whole side."""
        return self._replace(start=torch.zeros_like(self.start), length=self.size)


def span(first: Tensor, end: Tensor, size: int) -> Span:
    """Return the shortest windows that hold changes from ``first`` to ``end`` on a side of ``size`` positions."""
    end = end.maximum(first)
    length = min(size, max(1, int((end - first).max())))
    return Span(first, end, first.clamp(0, size - length), length, size)


def through(changed: Span, slide: Slide, size: int) -> Span:
    """Return what changes behind an operation, on a side of ``size`` positions: all whose taps reach a change."""
    ahead = changed.first + slide.padding - slide.reach
    first = -torch.div(-ahead, slide.stride, rounding_mode="floor")
    end = torch.div(changed.end - 1 + slide.padding, slide.stride, rounding_mode="floor") + 1
    return span(first.clamp(0, size), end.clamp(0, size), size)


def joined(spans: list[Span]) -> Span:
    """Return what changes where several maps of one size meet."""
    first = torch.stack([part.first for part in spans]).amin(0)
    end = torch.stack([part.end for part in spans]).amax(0)
    return span(first, end, spans[0].size)


def read_positions(window: Span, slide: Slide) -> Tensor:
    """Return the input positions that a window of the output reads, int64 ``(m, count)``.

    They may lie outside the map, where the operation pads. A single tap reads only what it needs; several read a
    stretch without gaps, which the operation then walks through with its stride.
    """
    if slide.kernel == 1:
        steps = torch.arange(window.length, device=window.start.device) * slide.stride
    else:
        steps = torch.arange((window.length - 1) * slide.stride + slide.reach + 1, device=window.start.device)
    return window.start[:, None] * slide.stride - slide.padding + steps
