"""The weights of a network's convolutions as the partial forward uses them, BatchNorm folded in."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, fx, nn

from advscope.measures.partial_forward.trace import Trace


class Weights(NamedTuple):
    """The present weights; to be made anew for each use, since a network may be trained in between."""

    constants: Mapping[fx.Node, Any]
    """The value of each node that does not depend on the images."""
    convolutions: Mapping[fx.Node, tuple[Tensor, Tensor | None]]
    """Weight and bias of each convolution that is a module."""
    folded: frozenset[fx.Node]
    """The BatchNorms that their convolutions have taken in, and that return their input."""


def weights(trace: Trace, varying: set[fx.Node]) -> Weights:
    """Return the weights of a network as they are now.

    A BatchNorm in evaluation mode is an affine map of each channel, which a convolution whose output nothing else
    reads can take in: the same function up to rounding, at fewer operations.
    """
    constants: dict[fx.Node, Any] = {}
    for node in trace.nodes:
        if node not in varying and node.op != "output":
            args = fx.node.map_arg(node.args, constants.__getitem__)
            constants[node] = trace.evaluate(node, args, fx.node.map_arg(node.kwargs, constants.__getitem__))
    convolutions: dict[fx.Node, tuple[Tensor, Tensor | None]] = {}
    folded = set()
    for node in trace.nodes:
        module = trace.modules.get(str(node.target)) if node.op == "call_module" else None
        # Padding with other than zeros is the module's own doing.
        if type(module) is not nn.Conv2d or node not in varying or module.padding_mode != "zeros":
            continue
        weight, bias = module.weight.detach(), module.bias
        (reader, *others) = node.users or [node]
        norm = trace.modules.get(str(reader.target)) if reader.op == "call_module" else None
        if type(norm) is nn.BatchNorm2d and not others and reader.args == (node,):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = (norm.running_var + norm.eps).rsqrt()
            scale = scale * norm.weight if norm.affine else scale
            mean = norm.running_mean if bias is None else norm.running_mean - bias
            bias = norm.bias - mean * scale if norm.affine else -mean * scale
            weight = weight * scale[:, None, None, None]
            folded.add(reader)
        convolutions[node] = weight, bias
    return Weights(constants, convolutions, frozenset(folded))
