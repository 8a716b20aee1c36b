"""Convolutions, poolings, paddings and slices on windows, from the arguments of their functions."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from advscope.measures.partial_forward.local import Convolution, Local, Shapes
from advscope.measures.partial_forward.span import Slide

ARGUMENTS = {
    functional.conv2d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    functional.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    functional.avg_pool2d: (
        "input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
    ),
    functional.pad: ("input", "pad", "mode", "value"),
}  # fmt: skip
"""The names of the functions' arguments: built-in ones have no signature."""


def settings_of(module: nn.Module) -> tuple[Callable[..., Any], dict[str, Any]] | None:
    """Return the function that a module is, and its arguments; ``None`` for one that is not known."""
    kind = type(module)
    if kind is nn.Conv2d:
        if module.padding_mode != "zeros":
            return None
        return functional.conv2d, _read(module, "stride", "padding", "dilation", "groups") | {"module": module}
    if kind is nn.MaxPool2d:
        return functional.max_pool2d, _read(module, *ARGUMENTS[functional.max_pool2d][1:])
    if kind is nn.AvgPool2d:
        return functional.avg_pool2d, _read(module, *ARGUMENTS[functional.avg_pool2d][1:])
    if kind is nn.ZeroPad2d:
        return functional.pad, {"pad": module.padding}
    return None


def _read(module: nn.Module, *names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names}


def sliding(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    sources: tuple[fx.Node, ...],
    shapes: Shapes,
    node: fx.Node,
) -> Local | None:
    """Return a convolution, a pooling or a padding on windows; ``None`` for settings that need whole maps.

    Args:
        function: One of :data:`ARGUMENTS`.
        given: Its arguments by name; for a convolution that is a module, the ``module``.
        sources: The maps that it reads.
        shapes: Of the nodes' values for one image.
        node: The node that calls it.
    """
    if len(sources) != 1 or given.get("input") is not sources[0]:
        return None
    if function is functional.conv2d:
        return _convolution(given, sources, shapes)
    if function is functional.pad:
        return _padding(given, sources)
    kernel = _pair(given["kernel_size"])
    stride = _pair(given.get("stride") or kernel)
    padding, dilation = _pair(given.get("padding", 0)), _pair(given.get("dilation", 1))
    maximum = function is functional.max_pool2d
    if maximum and given.get("return_indices"):
        return None
    if not maximum:
        # A mean over fewer values where the window leaves the map is another operation there.
        sides = (shapes[node] or ())[2:], (shapes[sources[0]] or ())[2:]
        overshoot = [
            (out - 1) * step - before + taps > side + before
            for out, side, step, before, taps in zip(*sides, stride, padding, kernel, strict=True)
        ]
        counted = given.get("count_include_pad", True) or padding == (0, 0)
        if any(overshoot) or not counted or given.get("divisor_override") is not None:
            return None
    rows, columns = (Slide(*settings) for settings in zip(kernel, stride, padding, dilation, strict=True))
    steps = tuple(step if taps > 1 else 1 for step, taps in zip(stride, kernel, strict=True))

    def pool(windows: Tensor, *_: Any, **__: Any) -> Tensor:
        if maximum:
            return functional.max_pool2d(windows, kernel, steps, 0, dilation)
        return functional.avg_pool2d(windows, kernel, steps)

    return Local(sources, rows, columns, -torch.inf if maximum else 0.0, pool)


def _convolution(given: Mapping[str, Any], sources: tuple[fx.Node, ...], shapes: Shapes) -> Local | None:
    module, weight, bias = given.get("module"), given.get("weight"), given.get("bias")
    if module is None:
        if not isinstance(weight, fx.Node) or weight in sources or bias in sources:
            return None
        taps = (shapes[weight] or ())[2:]
    else:
        taps = module.kernel_size
    stride, dilation = _pair(given.get("stride", 1)), _pair(given.get("dilation", 1))
    padding = given.get("padding", 0)
    if padding == "same":
        before = tuple(step * (count - 1) // 2 for step, count in zip(dilation, taps, strict=True))
    else:
        padding = (0, 0) if padding == "valid" else _pair(padding)
        before = padding
    rows, columns = (Slide(*settings) for settings in zip(taps, stride, before, dilation, strict=True))
    settings = Convolution(weight, bias, stride, padding, dilation, given.get("groups", 1))
    return Local(sources, rows, columns, convolution=settings)


def _padding(given: Mapping[str, Any], sources: tuple[fx.Node, ...]) -> Local | None:
    amounts = given["pad"]
    if not all(isinstance(amount, int) for amount in amounts) or len(amounts) > 6 or given.get("value") or 0:
        return None
    if given.get("mode", "constant") != "constant":
        return None
    left, _, top, _, before, after = list(amounts) + [0] * (6 - len(amounts))

    def pad(windows: Tensor, *_: Any, **__: Any) -> Tensor:
        return functional.pad(windows, (0, 0, 0, 0, before, after)) if before or after else windows

    return Local(sources, Slide(padding=top), Slide(padding=left), 0.0, pad)


def part(index: Any, sources: tuple[fx.Node, ...]) -> Local | None:
    """Return a choice of channels, and of every n-th position from the first one."""
    if not isinstance(index, tuple) or not all(isinstance(part, slice) for part in index) or len(index) > 4:
        return None
    images, channels, rows, columns = list(index) + [slice(None)] * (4 - len(index))
    bounds = (channels.start, channels.stop, channels.step)
    if images != slice(None) or not all(isinstance(bound, int | None) for bound in bounds):
        return None
    for part in (rows, columns):
        if part.start not in (None, 0) or part.stop is not None or not isinstance(part.step, int | None):
            return None

    def take(windows: Tensor, *_: Any) -> Tensor:
        return windows[:, channels]

    return Local(sources, Slide(stride=rows.step or 1), Slide(stride=columns.step or 1), 0.0, take)


def _pair(value: Any) -> tuple[int, int]:
    """Return a setting for rows and columns."""
    return (value, value) if isinstance(value, int) else (tuple(value) * 2)[:2]
