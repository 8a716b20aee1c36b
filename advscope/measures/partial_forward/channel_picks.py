"""Picks of one channel, written as slices: torchvision's Inception-v3 transforms its input channel by channel so."""

import operator

import torch
from torch import fx


def picks_as_slices(graph: fx.Graph) -> None:
    """Write ``unsqueeze(x[:, k], 1)`` as ``x[:, k:k+1]``, which windows can be taken of.

    Args:
        graph: Changed in place.
    """
    for node in list(graph.nodes):
        picked = node.args[0] if node.args else None
        if not _widens(node) or not isinstance(picked, fx.Node) or picked.target is not operator.getitem:
            continue
        index = picked.args[1]
        if not (isinstance(index, tuple) and len(index) == 2 and index[0] == slice(None) and isinstance(index[1], int)):
            continue
        channel = index[1]
        end = channel + 1 if channel != -1 else None
        with graph.inserting_before(node):
            sliced = graph.call_function(operator.getitem, (picked.args[0], (slice(None), slice(channel, end))))
        node.replace_all_uses_with(sliced)
        graph.erase_node(node)
        if not picked.users:
            graph.erase_node(picked)


def _widens(node: fx.Node) -> bool:
    """Return whether a node puts the channels back that a pick took away."""
    named = node.target is torch.unsqueeze or (node.op == "call_method" and node.target == "unsqueeze")
    return named and (*node.args[1:], *node.kwargs.values()) == (1,)
