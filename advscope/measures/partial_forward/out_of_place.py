"""In-place operations of a graph, written as ordinary ones: a map that is kept for many cells must not change."""

import inspect
import operator
from typing import Any

import torch
from torch import fx, nn

from advscope.measures.partial_forward.reason import NotApplicableError

_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_PARTS = {"view", "reshape", "transpose", "permute", "chunk", "split", "narrow", "unbind", "squeeze", "unsqueeze", "t"}


def out_of_place(graph: fx.Graph, modules: dict[str, nn.Module], in_place: set[str]) -> None:
    """Rewrite the in-place operations of a graph; whoever reads the changed tensor later reads the new value.

    Args:
        graph: Changed in place.
        modules: Its modules by name.
        in_place: The names of those that worked in place, and have been told not to.

    Raises:
        NotApplicableError: If an in-place operation is unknown, or changes a part of another tensor.
    """
    order = {node: place for place, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if not _rewritten(node, in_place):
            continue
        changed = node.args[0]
        if not isinstance(changed, fx.Node):
            raise NotApplicableError(f"{node.name} works in place on what is no tensor of the graph")
        while True:
            if changed.target in _PARTS or changed.target in (operator.getitem, torch.chunk, torch.split):
                raise NotApplicableError(f"{node.name} works in place on a part of another tensor")
            for user in list(changed.users):
                if order[user] > order[node]:
                    user.replace_input_with(changed, node)
            if not _passes_on(changed, modules) or not isinstance(changed.args[0], fx.Node):
                break
            changed = changed.args[0]


def _rewritten(node: fx.Node, in_place: set[str]) -> bool:
    """Return whether a node worked in place, after its target or arguments are set to the ordinary ones."""
    if node.op == "call_module":
        return str(node.target) in in_place
    if node.op not in ("call_function", "call_method"):
        return False
    if node.target is operator.setitem or "out" in node.kwargs:
        raise NotApplicableError(f"{node.name} writes into a tensor")
    if node.target in _OPERATORS:
        node.target = _OPERATORS[node.target]
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name.endswith("_") and not name.endswith("__"):
        ordinary: Any = getattr(torch.Tensor if node.op == "call_method" else torch, name[:-1], None)
        if ordinary is None:
            raise NotApplicableError(f"{node.name} works in place")
        node.target = name[:-1] if node.op == "call_method" else ordinary
        return True
    return node.op == "call_function" and _switched_off(node)


def _switched_off(node: fx.Node) -> bool:
    """Set an argument ``inplace`` to ``False``; return whether it was true."""
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # built in: none of them has such an argument
        return False
    if not bound.arguments.get("inplace", False):
        return False
    bound.arguments["inplace"] = False
    node.args, node.kwargs = bound.args, bound.kwargs
    return True


def _passes_on(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Return whether a node returns its very input."""
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], nn.Identity | nn.Dropout | nn.Dropout2d)
    return node.op == "call_method" and node.target == "contiguous"
