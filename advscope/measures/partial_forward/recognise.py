"""Which nodes of a graph are local operations."""

import operator

import torch
from torch import fx, nn
from torch.nn import functional

from advscope.measures.partial_forward.local import Local, Shapes
from advscope.measures.partial_forward.sliding import ARGUMENTS, part, settings_of, sliding
from advscope.measures.partial_forward.trace import Trace

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
        given = settings_of(module)
        if given is None or len(node.args) != 1:
            return None
        return sliding(given[0], {"input": sources[0]} | given[1], sources, shapes, node)
    if node.op == "call_method":
        return Local(sources) if node.target in _POINTWISE_METHODS and _spread(node, varying, shapes) else None
    if node.target in _POINTWISE:
        return Local(sources) if _spread(node, varying, shapes) else None
    if node.target is torch.cat:
        return Local(sources) if (node.args[1:] or (node.kwargs.get("dim", 0),))[0] in (1, -3) else None
    if node.target is operator.getitem:
        return part(node.args[1], sources)
    if node.target in ARGUMENTS:
        given_arguments = dict(zip(ARGUMENTS[node.target], node.args, strict=False)) | node.kwargs
        return sliding(node.target, given_arguments, sources, shapes, node)
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
