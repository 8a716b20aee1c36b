"""The operations whose output at a position depends on the input around it alone, and how they run on a window."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from advscope.measures.partial_forward.span import POINT, Slide
from advscope.measures.partial_forward.trace import Trace

Shapes = Mapping[fx.Node, tuple[int, ...] | None]


class Local(NamedTuple):
    """A local operation: what it reads, how it moves, and how it runs on windows that hold all it reads."""

    sources: tuple[fx.Node, ...]
    """The maps that it reads; all of one size."""
    rows: Slide = POINT
    columns: Slide = POINT
    fill: float = 0.0
    """What stands outside the map."""
    on_windows: Callable[..., Tensor] | None = None
    """Called with the arguments of the node, windows in place of maps; ``None`` for the node's own operation."""
    convolution: "Convolution | None" = None
    """Set for a convolution, which runs with weights of the caller's."""


class Convolution(NamedTuple):
    """The settings of a convolution, and where its weights are."""

    weight: fx.Node | None
    """The node of the weights; ``None`` where the module has them."""
    bias: fx.Node | None
    stride: tuple[int, int]
    padding: Any
    """As :func:`torch.nn.functional.conv2d` takes it: two numbers, ``"same"`` or ``"valid"``."""
    dilation: tuple[int, int]
    groups: int

    def run(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of whole maps."""
        return functional.conv2d(features, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def run_on_windows(self, windows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of windows that hold what lies around them."""
        # A single tap is given only what it reads.
        stride = tuple(step if taps > 1 else 1 for step, taps in zip(self.stride, weight.shape[2:], strict=True))
        return functional.conv2d(windows, weight, bias, stride, 0, self.dilation, self.groups)


_POINTWISE_MODULES = {
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.LogSigmoid, nn.Softsign, nn.Threshold, nn.Identity,
    nn.Dropout, nn.Dropout2d, nn.AlphaDropout,
}  # fmt: skip
_POINTWISE = {
    torch.relu, torch.sigmoid, torch.tanh, torch.add, torch.sub, torch.mul, torch.div, torch.clamp, torch.neg,
    torch.abs, torch.exp, torch.square, operator.add, operator.sub, operator.mul, operator.truediv, operator.neg,
    functional.relu, functional.relu6, functional.leaky_relu, functional.elu, functional.selu, functional.gelu,
    functional.silu, functional.mish, functional.sigmoid, functional.tanh, functional.hardtanh, functional.hardswish,
    functional.hardsigmoid, functional.softplus, functional.dropout, functional.dropout2d,
}  # fmt: skip
_POINTWISE_METHODS = {
    "relu", "sigmoid", "tanh", "add", "sub", "mul", "div", "clamp", "neg", "abs", "exp", "square", "contiguous",
}  # fmt: skip
_ARGUMENTS = {
    functional.conv2d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    functional.max_pool2d: ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    functional.avg_pool2d: (
        "input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
    ),
    functional.pad: ("input", "pad", "mode", "value"),
}  # fmt: skip


def local_operation(node: fx.Node, trace: Trace, varying: set[fx.Node], shapes: Shapes) -> Local | None:
    """Return how a node works on windows, ``None`` where it needs whole maps.

    Args:
        node: A node that depends on the images.
        trace: Of the network.
        varying: All nodes that depend on the images.
        shapes: Of the nodes' values for one image.
    """
    sources = tuple(source for source in node.all_input_nodes if source in varying)
    sizes = {_size(shapes[source]) for source in sources}
    if _size(shapes[node]) is None or len(sizes) != 1 or None in sizes:
        return None
    if node.op == "call_module":
        module = trace.modules[str(node.target)]
        if type(module) in _POINTWISE_MODULES or isinstance(module, nn.BatchNorm2d):
            return Local(sources)
        given = _settings(module)
        if given is None or len(node.args) != 1:
            return None
        return _sliding(given[0], {"input": sources[0]} | given[1], sources, shapes, node)
    if node.op == "call_method":
        return Local(sources) if node.target in _POINTWISE_METHODS and _spread(node, varying, shapes) else None
    if node.target in _POINTWISE:
        return Local(sources) if _spread(node, varying, shapes) else None
    if node.target is torch.cat:
        return Local(sources) if (node.args[1:] or (node.kwargs.get("dim", 0),))[0] in (1, -3) else None
    if node.target is operator.getitem:
        return _part(node.args[1], sources)
    if node.target in _ARGUMENTS:
        given_arguments = dict(zip(_ARGUMENTS[node.target], node.args, strict=False)) | node.kwargs
        return _sliding(node.target, given_arguments, sources, shapes, node)
    return None


def _size(shape: tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return height and width of the maps of one image, ``None`` for what is none."""
    return (shape[2], shape[3]) if shape is not None and len(shape) == 4 and shape[0] == 1 else None


def _spread(node: fx.Node, varying: set[fx.Node], shapes: Shapes) -> bool:
    """Return whether what an operation combines its maps with is the same at every position."""
    for other in node.all_input_nodes:
        shape = shapes[other]
        if other not in varying and shape is not None and any(side != 1 for side in shape[-2:]):
            return False
    return True


def _settings(module: nn.Module) -> tuple[Callable[..., Any], dict[str, Any]] | None:
    """Return the function that a module is, and its arguments; ``None`` for one that is not known."""
    kind = type(module)
    if kind is nn.Conv2d:
        if module.padding_mode != "zeros":
            return None
        names = ("stride", "padding", "dilation", "groups")
        return functional.conv2d, {name: getattr(module, name) for name in names} | {"module": module}
    if kind is nn.MaxPool2d:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
        return functional.max_pool2d, {name: getattr(module, name) for name in names}
    if kind is nn.AvgPool2d:
        names = _ARGUMENTS[functional.avg_pool2d][1:]
        return functional.avg_pool2d, {name: getattr(module, name) for name in names}
    if kind is nn.ZeroPad2d:
        return functional.pad, {"pad": module.padding}
    return None


def _sliding(
    function: Callable[..., Any],
    given: Mapping[str, Any],
    sources: tuple[fx.Node, ...],
    shapes: Shapes,
    node: fx.Node,
) -> Local | None:
    """Return a convolution, a pooling or a padding on windows; ``None`` for settings that need whole maps."""
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
        overshoot = [
            (out - 1) * step - before + taps > side + before
            for out, step, before, taps, side in zip(
                shapes[node][2:], stride, padding, kernel, shapes[sources[0]][2:], strict=True  # type: ignore[index]
            )
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
        taps = shapes[weight][2:]  # type: ignore[index]
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
    left, _, top, _, before, after = (*amounts, *([0] * (6 - len(amounts))))

    def pad(windows: Tensor, *_: Any, **__: Any) -> Tensor:
        return functional.pad(windows, (0, 0, 0, 0, before, after)) if before or after else windows

    return Local(sources, Slide(padding=top), Slide(padding=left), 0.0, pad)


def _part(index: Any, sources: tuple[fx.Node, ...]) -> Local | None:
    """Return a choice of channels, and of every n-th position from the first one."""
    if not isinstance(index, tuple) or not all(isinstance(part, slice) for part in index) or len(index) > 4:
        return None
    images, channels, rows, columns = (*index, *([slice(None)] * (4 - len(index))))
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
    return (value, value) if isinstance(value, int) else (tuple(value) * 2)[:2]  # type: ignore[return-value]
