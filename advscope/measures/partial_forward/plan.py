"""Which part of every feature map is computed anew for the cells of a grid, and what that costs."""

from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from advscope.measures.partial_forward.local import Local, Shapes
from advscope.measures.partial_forward.reason import NotApplicableError
from advscope.measures.partial_forward.recognise import local_operation
from advscope.measures.partial_forward.span import POINT, Slide, Span, joined, read_positions, span, through
from advscope.measures.partial_forward.trace import Trace

MOST = 0.9
"""A window of more than this share of a map is the whole map: it costs as much, and what follows is simpler."""


class Window(NamedTuple):
    """The part of a map that is computed anew: of one size for all cells, at a place of its own for each."""

    rows: Span
    columns: Span

    @property
    def whole(self) -> bool:
        """Return whether it is the whole map."""
        return self.rows.whole and self.columns.whole

    def same_as(self, other: "Window") -> bool:
        """Return whether two windows lie at the same places."""
        return all(
            ours.size == theirs.size and ours.length == theirs.length and torch.equal(ours.start, theirs.start)
            for ours, theirs in zip(self, other, strict=True)
        )


class Gather(NamedTuple):
    """Where an operation finds what it reads of one map, position by position.

    In ``table``, int32 ``(m, height * width)``, an entry v >= 0 is position v of the kept map of the cell's image (of
    which the last but one is 0, the last minus infinity, for what lies outside); v < 0 is position -v - 1 of the
    cell's window.
    """

    table: Tensor
    height: int
    width: int


class Plan(NamedTuple):
    """How the cells of one class go through a network. A function of the graph, the images' size and the cells."""

    cells: Tensor
    """``(top, left, bottom, right)``, int64 ``(m, 4)``."""
    windows: dict[fx.Node, Window]
    gathers: dict[tuple[fx.Node, fx.Node], Gather]
    """By (reader, map); a pair that is missing takes the map's window as it is."""
    locals: dict[fx.Node, Local]
    """The nodes that run on windows; the others run as in the network, on whole maps."""
    operations: float
    """Multiply-adds of convolutions and linear layers for one cell."""


def make_plan(trace: Trace, shapes: Shapes, cells: Tensor) -> Plan:
    """Return the plan of cells that are to share batches.

    Args:
        trace: Of the network.
        shapes: Of its nodes' values for one image.
        cells: ``(top, left, bottom, right)``, int64 ``(m, 4)``.

    Raises:
        NotApplicableError: If a BatchNorm has no statistics of its own, so that images depend on each other.
    """
    varying = varying_nodes(trace)
    plan = Plan(cells, {}, {}, {}, 0.0)
    operations = 0
    for node in trace.nodes:
        if node not in varying:
            continue
        module = trace.modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is None:
            raise NotApplicableError(f"{node.target} normalises by the batch: images depend on each other")
        shape = shapes[node]
        local = None if node.op == "placeholder" else local_operation(node, trace, varying, shapes)
        if node.op == "placeholder":
            assert shape is not None
            top, left, bottom, right = cells.unbind(1)
            plan.windows[node] = Window(span(top, bottom, shape[2]), span(left, right, shape[3]))
        elif local is not None:
            assert shape is not None
            read = [plan.windows[source] for source in local.sources]
            window = _window(
                joined([through(part.rows, local.rows, shape[2]) for part in read]),
                joined([through(part.columns, local.columns, shape[3]) for part in read]),
            )
            plan.windows[node] = window
            if not (window.whole and all(part.whole for part in read)):
                plan.locals[node] = local
                for source in local.sources:
                    if local.rows != POINT or local.columns != POINT or not plan.windows[source].same_as(window):
                        plan.gathers[node, source] = _gather(plan.windows[source], window, local)
        else:
            if shape is not None and len(shape) == 4:
                plan.windows[node] = Window(*(_everything(side, cells) for side in shape[2:]))
            for source in node.all_input_nodes:
                if source in plan.windows and not plan.windows[source].whole:
                    whole = Window(*(part.widened() for part in plan.windows[source]))
                    plan.gathers[node, source] = _gather(plan.windows[source], whole, Local((source,)))
        operations += multiply_adds(node, trace, shapes, local, plan.windows.get(node))
    return plan._replace(operations=float(operations))


def varying_nodes(trace: Trace) -> set[fx.Node]:
    """Return the nodes whose values depend on the images."""
    varying: set[fx.Node] = set()
    for node in trace.nodes:
        if node.op == "placeholder" or any(source in varying for source in node.all_input_nodes):
            varying.add(node)
    return varying


def multiply_adds(
    node: fx.Node, trace: Trace, shapes: Shapes, local: Local | None, window: Window | None = None
) -> int:
    """Return the multiply-adds of a convolution or a linear layer for one image, in a window of it if one is given."""
    shape = shapes[node]
    module = trace.modules.get(str(node.target)) if node.op == "call_module" else None
    if shape is None:
        return 0
    if local is not None and local.convolution is not None:
        weight = local.convolution.weight
        kernel = module.weight.shape if isinstance(module, nn.Conv2d) else shapes[weight]  # type: ignore[index]
        assert kernel is not None
        height, width = shape[2:] if window is None else (window.rows.length, window.columns.length)
        return int(shape[1] * height * width * torch.Size(kernel[1:]).numel())
    if isinstance(module, nn.Linear):
        return torch.Size(shape).numel() * module.in_features
    if isinstance(module, nn.Conv2d):
        return torch.Size(shape).numel() * module.weight[0].numel()
    return 0


def _window(rows: Span, columns: Span) -> Window:
    if rows.length * columns.length > MOST * rows.size * columns.size:
        return Window(rows.widened(), columns.widened())
    return Window(rows, columns)


def _everything(size: int, cells: Tensor) -> Span:
    first = torch.zeros(len(cells), dtype=torch.int64, device=cells.device)
    return span(first, first + size, size)


def _gather(kept: Window, wanted: Window, local: Local) -> Gather:
    """Return where the positions that a window ``wanted`` of the output reads lie, of a map with a window ``kept``."""
    slides: tuple[Slide, Slide] = (local.rows, local.columns)
    inside, valid, in_window, positions = [], [], [], []
    for part, target, slide in zip(kept, wanted, slides, strict=True):
        read = read_positions(target, slide)
        positions.append(read)
        in_window.append(read - part.start[:, None])
        inside.append((in_window[-1] >= 0) & (in_window[-1] < part.length))
        valid.append((read >= 0) & (read < part.size))
    height, width = kept.rows.size, kept.columns.size
    outside = height * width + (1 if local.fill else 0)
    kept_at = positions[0][:, :, None] * width + positions[1][:, None, :]
    kept_at = torch.where(valid[0][:, :, None] & valid[1][:, None, :], kept_at, outside)
    new_at = -1 - (in_window[0][:, :, None] * kept.columns.length + in_window[1][:, None, :])
    table = torch.where(inside[0][:, :, None] & inside[1][:, None, :], new_at, kept_at)
    return Gather(table.flatten(1).int(), table.shape[1], table.shape[2])
