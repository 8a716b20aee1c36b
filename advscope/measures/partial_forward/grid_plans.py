"""The plans of all cells of a grid, in classes of cells whose windows share a size."""

from typing import NamedTuple

import torch
from torch import Tensor, fx

from advscope.measures.partial_forward.local import Shapes
from advscope.measures.partial_forward.plan import Plan, make_plan, multiply_adds, varying_nodes
from advscope.measures.partial_forward.recognise import local_operation
from advscope.measures.partial_forward.trace import Trace, shapes_of

_FEW_CELLS = 128
"""Up to as many cells are one class: more classes would leave their batches half empty."""


class GridPlans(NamedTuple):
    """What depends on a network's structure, the images' size and the grid, and on nothing else."""

    varying: set[fx.Node]
    """The nodes that depend on the images."""
    shapes: Shapes
    classes: Tensor
    """The class of each cell, int64 ``(m,)``."""
    plans: list[Plan]
    """Of each class."""
    shares: Tensor
    """Multiply-adds for each cell as a share of a full forward's, float64 ``(m,)``; ``nan`` if that has none."""


def grid_plans(trace: Trace, image: Tensor, cells: Tensor) -> GridPlans:
    """Return the plans of a grid.

    Args:
        trace: Of the network.
        image: One image ``(1, C, H, W)`` of the size, type and device of all; it goes through the network once.
        cells: ``(top, left, bottom, right)`` of each cell, int64 ``(m, 4)``.

    Raises:
        NotApplicableError: As :func:`~advscope.measures.partial_forward.plan.make_plan`.
    """
    varying, shapes = varying_nodes(trace), shapes_of(trace, image)
    total = 0
    for node in trace.nodes:
        if node in varying and node.op != "placeholder":
            total += multiply_adds(node, trace, shapes, local_operation(node, trace, varying, shapes))
    # Numbered anew: a grid may lack some classes.
    _, classes = cell_classes(cells, *image.shape[2:]).unique(return_inverse=True)
    plans = [make_plan(trace, shapes, cells[classes == number]) for number in range(int(classes.max()) + 1)]
    spent = torch.tensor([plan.operations for plan in plans], dtype=torch.float64, device=cells.device)
    return GridPlans(varying, shapes, classes, plans, spent[classes] / (total or torch.nan))


def cell_classes(cells: Tensor, height: int, width: int) -> Tensor:
    """Return which cells share the size of their windows, int64 ``(m,)``: by how near to a border they are.

    A window is clipped at the border: cells of the outer quarters change less of the deeper maps than those between.
    A grid of few cells is one class.
    """
    if len(cells) <= _FEW_CELLS:
        return torch.zeros(len(cells), dtype=torch.int64, device=cells.device)
    top, left, bottom, right = cells.unbind(1)
    outer_row = (top + bottom - height).abs() * 2 > height
    outer_column = (left + right - width).abs() * 2 > width
    return 2 * outer_row.long() + outer_column.long()
