"""A network as a graph without in-place operations, over the network's own weights."""

import copy
import weakref
from typing import Any

import torch
from torch import Tensor, fx, nn

from advscope.measures.partial_forward.channel_picks import picks_as_slices
from advscope.measures.partial_forward.out_of_place import out_of_place
from advscope.measures.partial_forward.reason import NotApplicableError


class Trace:
    """The graph of a network in evaluation mode, with modules of its own that hold the network's weights.

    A change of a weight's values is seen, since the tensors are the network's; so is a change of its structure, as
    :func:`trace` then makes a new one.

    Args:
        network: Maps images to logits; in evaluation mode.

    Attributes:
        modules: The modules by name; none works in place.
        nodes: The graph's nodes, in order.
        plans: What others keep here for as long as the graph holds.

    Raises:
        NotApplicableError: If the network cannot be traced, has hooks, or works in place on a part of a tensor.
    """

    def __init__(self, network: nn.Module) -> None:
        hooked = [name or "the network" for name, module in network.named_modules() if _hooked(module)]
        if hooked:
            raise NotApplicableError(f"{hooked[0]} has forward hooks, which only a full forward runs")
        # The tensors stay the network's, everything else is a copy: tracing runs the user's forward, which may leave
        # something on the modules.
        tensors = [*network.parameters(), *network.buffers()]
        tracer = _Tracer()
        try:
            own = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors}).eval()
            self.graph = tracer.trace(own)
        except Exception as error:  # symbols in the user's forward raise whatever they meet
            reason = str(error).strip().splitlines()
            raise NotApplicableError(
                f"torch.fx cannot trace {type(network).__name__} ({reason[0] if reason else type(error).__name__})"
            ) from error
        self.root: nn.Module = tracer.root
        self.modules: dict[str, nn.Module] = dict(self.root.named_modules())
        in_place = {name for name, module in self.modules.items() if getattr(module, "inplace", False)}
        for name in in_place:
            self.modules[name].inplace = False  # type: ignore[assignment]
        out_of_place(self.graph, self.modules, in_place)
        picks_as_slices(self.graph)
        self.nodes = list(self.graph.nodes)
        if sum(node.op == "placeholder" for node in self.nodes) != 1:
            raise NotApplicableError(f"{type(network).__name__} takes more than the images")
        self.plans: dict[Any, Any] = {}

    def attribute(self, name: str) -> Any:
        """Return what a ``get_attr`` node reads."""
        value: Any = self.root
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def evaluate(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the value of a node that is no placeholder, for these arguments."""
        if node.op == "call_module":
            return self.modules[str(node.target)](*args, **kwargs)
        if node.op == "get_attr":
            return self.attribute(str(node.target))
        if node.op == "call_method":
            first, *rest = args
            if node.target == "view" and isinstance(first, Tensor):
                first = first.contiguous()  # written for a network's usual memory format, which is not ours
            return getattr(first, str(node.target))(*rest, **kwargs)
        if node.op == "output":
            return args[0]
        assert callable(node.target)
        return node.target(*args, **kwargs)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is one node: torch's own, and whatever refines BatchNorm."""
        return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


_traces: "weakref.WeakKeyDictionary[nn.Module, tuple[Any, Trace | NotApplicableError]]" = weakref.WeakKeyDictionary()


def trace(network: nn.Module) -> Trace:
    """Return the trace of a network, the same as long as its structure and its tensors are the same.

    Raises:
        NotApplicableError: As :class:`Trace`.
    """
    found = _fingerprint(network)
    known, kept = _traces.get(network, (None, None))
    if kept is None or known != found:
        try:
            kept = Trace(network)
        except NotApplicableError as error:
            kept = error.with_traceback(None)
        _traces[network] = (found, kept)
    if isinstance(kept, NotApplicableError):
        raise NotApplicableError(str(kept))
    return kept


def _fingerprint(network: nn.Module) -> tuple[Any, ...]:
    """Return what a trace depends on. A tensor's id is no other's as long as the trace holds the tensor."""
    tensors = tuple(id(tensor) for tensor in (*network.parameters(), *network.buffers()))
    hooked = tuple(name for name, module in network.named_modules() if _hooked(module))
    return repr(network), tensors, hooked


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def shapes_of(trace: Trace, image: Tensor) -> dict[fx.Node, tuple[int, ...] | None]:
    """Return the shape of each node's value for one image ``(1, C, H, W)``, ``None`` where it is no tensor."""
    values: dict[fx.Node, Any] = {}
    shapes: dict[fx.Node, tuple[int, ...] | None] = {}
    for node in trace.nodes:
        if node.op == "placeholder":
            values[node] = image
        else:
            args = fx.node.map_arg(node.args, values.__getitem__)
            values[node] = trace.evaluate(node, args, fx.node.map_arg(node.kwargs, values.__getitem__))
        shapes[node] = tuple(values[node].shape) if isinstance(values[node], torch.Tensor) else None
    return shapes
