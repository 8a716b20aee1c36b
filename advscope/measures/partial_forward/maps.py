"""The maps that windows are cut from: those of adversarial images, kept, and the windows computed for cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from advscope.measures.partial_forward.local import Shapes
from advscope.measures.partial_forward.plan import Plan


class Maps:
    """For each map that is read elsewhere than it is written: one buffer with a row of channels per position.

    First come the kept maps, of each image all positions, a row of zeros and one of minus infinity; then the windows
    of the present batch. So an operation finds all it reads, old, new or outside, by one index.

    Args:
        plans: Of all classes of cells.
        shapes: Of the nodes' values for one image.
        like: Images, for their number, type and device.
        batch: Cells in a batch.
        memory: Bytes that the kept maps may take.

    Attributes:
        images: How many images' maps are kept at a time; at least 1.
        last_reader: The last node that reads a node's value.
    """

    def __init__(self, plans: Sequence[Plan], shapes: Shapes, like: Tensor, batch: int, memory: int) -> None:
        read = {source for plan in plans for _, source in plan.gathers}
        self.sizes: dict[fx.Node, int] = {}
        channels, widest = {}, {}
        for node in read:
            shape = shapes[node]
            assert shape is not None
            channels[node], self.sizes[node] = shape[1], shape[2] * shape[3] + 2
            widest[node] = max(plan.windows[node].rows.length * plan.windows[node].columns.length for plan in plans)
        each = like.element_size() * sum(self.sizes[node] * channels[node] for node in read)
        self.images = max(1, min(len(like), memory // max(1, each)))
        self.buffers = {
            node: like.new_empty(self.images * self.sizes[node] + batch * widest[node], channels[node]) for node in read
        }
        for node, buffer in self.buffers.items():
            kept = buffer[: self.images * self.sizes[node]].view(self.images, self.sizes[node], -1)
            kept[:, -2] = 0
            kept[:, -1] = -torch.inf
        self.last_reader = {source: node for node in _in_order(shapes) for source in node.all_input_nodes}

    def keep(self, node: fx.Node, place: int, value: Any) -> None:
        """Keep the map of one image, if it is one that is read."""
        if node in self.buffers:
            start = place * self.sizes[node]
            rows = value.permute(0, 2, 3, 1).reshape(-1, value.shape[1])
            self.buffers[node][start : start + len(rows)] = rows

    def choose(self, plan: Plan, images: Tensor, cells: Tensor) -> None:
        """Settle the batch that follows: a cell of the plan and an image for each place in it."""
        self.plan, self.chosen = plan, cells
        places = torch.arange(len(images), device=images.device, dtype=torch.int32)
        self.at, self.image = places[:, None], images.int()[:, None]
        self.read_by = {source for _, source in plan.gathers}

    def write(self, node: fx.Node, value: Any) -> None:
        """Hold the windows of a node, if it is one that is read elsewhere."""
        if node in self.read_by:
            start = self.images * self.sizes[node]
            batch, depth, height, width = value.shape
            rows = self.buffers[node][start : start + batch * height * width]
            rows.view(batch, height, width, depth).copy_(value.permute(0, 2, 3, 1))

    def read(self, reader: fx.Node, source: fx.Node, values: Mapping[fx.Node, Any]) -> Tensor:
        """Return what a node reads of a map, ``(batch, C, height, width)``."""
        gather, size = self.plan.gathers[reader, source], self.sizes[source]
        window = self.plan.windows[source]
        table = gather.table.index_select(0, self.chosen)
        first_window = self.images * size - 1 + self.at * (window.rows.length * window.columns.length)
        index = torch.where(table < 0, first_window - table, self.image * size + table)
        rows = self.buffers[source].index_select(0, index.flatten())
        return rows.view(len(index), gather.height, gather.width, -1).permute(0, 3, 1, 2)


def _in_order(shapes: Shapes) -> list[fx.Node]:
    return list(shapes)
