"""Logits of images in which one cell is changed, at the cost of what the cell changes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from advscope.measures.partial_forward.grid_plans import grid_plans
from advscope.measures.partial_forward.maps import Maps
from advscope.measures.partial_forward.plan import Plan
from advscope.measures.partial_forward.reason import NotApplicableError
from advscope.measures.partial_forward.trace import Trace, trace
from advscope.measures.partial_forward.weights import Weights, weights

MEMORY = 2**29
"""Bytes for the maps of as many images as fit; never less than one image."""

_KEPT_PLANS = 4


class PartialForward:
    """The partial forward of one network for the cells of one grid.

    Put the clean pixels back in a cell of an adversarial image, and of every early feature map only a window changes;
    the rest is the adversarial image's, and computed once. Behind operations that mix all positions, and where the
    window has grown to the whole map, it is an ordinary forward. All that depends on structure and grid is found once
    (and again when the network's structure changes); the weights are read at every call.

    Cells are run in batches of a size that the grid settles, the last one padded, adversarial images one at a time: an
    image's figures are bit by bit the same for any neighbour, order and memory bound, at an equal number of threads.

    Args:
        network: Maps images to logits, each image by itself; in evaluation mode. Not micro-batched.
        image: One image ``(1, C, H, W)`` of the size, type and device of all that follow.
        cells: ``(top, left, bottom, right)`` of each cell, int64 ``(m, 4)``.

    Attributes:
        shares: Multiply-adds of convolutions and linear layers for each cell as a share of a full forward's, float64
            ``(m,)``; ``nan`` if the network has neither.
        batches: Cells in a batch, of each class of cells.

    Raises:
        NotApplicableError: If the network cannot be traced, has forward hooks, lets images depend on each other, or
            the images are of half precision.
    """

    def __init__(self, network: nn.Module, image: Tensor, cells: Tensor) -> None:
        if image.dtype not in (torch.float32, torch.float64):
            raise NotApplicableError(f"images are {image.dtype}, whose rounding exceeds what a cell changes")
        self.trace: Trace = trace(network)
        key = (tuple(image.shape[1:]), image.dtype, image.device, cells.cpu().numpy().tobytes())
        if key not in self.trace.plans:
            while len(self.trace.plans) >= _KEPT_PLANS:
                self.trace.plans.pop(next(iter(self.trace.plans)))
            self.trace.plans[key] = grid_plans(self.trace, image, cells)
        self.varying, self.shapes, self.classes, self.plans, self.shares = self.trace.plans[key]
        self.batches = [_batch_size(len(plan.cells), image) for plan in self.plans]

    @torch.no_grad()
    def logits(
        self, images: Tensor, adversarials: Tensor, asked: Tensor, memory: int = MEMORY
    ) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
        """Yield the logits of adversarial images, and of those with the clean pixels put back in one cell each.

        Args:
            images: Clean images, ``(N, C, H, W)``.
            adversarials: Adversarial images, of the same shape.
            asked: The cells that are wanted of each image, bool ``(N, m)``.
            memory: Bytes for maps; changes no result.

        Yields:
            Rows ``(n,)``, the cell of each ``(n,)`` or ``None`` for the adversarial images themselves, and logits
            ``(n, K)``. An image's own logits come before those of its cells.
        """
        present = weights(self.trace, self.varying)
        maps = Maps(self.plans, self.shapes, adversarials, max(self.batches), memory)
        for rows in torch.arange(len(images), device=images.device).split(maps.images):
            whole = []
            for place, row in enumerate(rows.tolist()):
                image = adversarials[row : row + 1].contiguous(memory_format=torch.channels_last)
                whole.append(self._whole(image, place, maps, present))
            yield rows, None, torch.cat(whole)
            pixels = _pixels(adversarials[rows], images[rows])
            for number, (plan, batch) in enumerate(zip(self.plans, self.batches, strict=True)):
                members = (self.classes == number).nonzero().flatten()
                wanted, local = asked[rows][:, members].nonzero(as_tuple=True)
                for ours, theirs in zip(wanted.split(batch), local.split(batch), strict=True):
                    if len(ours):
                        logits = self._cells(plan, batch, ours, theirs, pixels, maps, present)
                        yield rows[ours], members[theirs], logits

    def _whole(self, image: Tensor, place: int, maps: Maps, present: Weights) -> Tensor:
        """Return the logits of one adversarial image, and keep its maps."""
        values: dict[fx.Node, Any] = dict(present.constants)
        for node in self.trace.nodes:
            if node in self.varying:
                values[node] = image if node.op == "placeholder" else self._ordinary(node, values, present)
                maps.keep(node, place, values[node])
        return self._checked(values[self.trace.nodes[-1]])

    def _cells(
        self, plan: Plan, batch: int, images: Tensor, cells: Tensor, pixels: Tensor, maps: Maps, present: Weights
    ) -> Tensor:
        """Return the logits for cells of a class, at most a batch of them; both given by their places."""
        count = len(images)
        padding = torch.zeros(batch - count, dtype=images.dtype, device=images.device)
        images, cells = torch.cat([images, images[padding]]), torch.cat([cells, cells[padding]])
        maps.choose(plan, images, cells)
        values: dict[fx.Node, Any] = dict(present.constants)
        for node in self.trace.nodes:
            if node not in self.varying:
                continue
            if node.op == "placeholder":
                value = _changed_pixels(plan, node, images, cells, pixels)
            else:
                read = {
                    source: maps.read(node, source, values) if (node, source) in plan.gathers else values[source]
                    for source in node.all_input_nodes
                }
                local = plan.locals.get(node)
                value = self._ordinary(node, read, present) if local is None else self._local(node, read, present, plan)
            values[node] = value
            maps.write(node, value)
            for source in node.all_input_nodes:
                if maps.last_reader[source] is node:
                    values.pop(source, None)
        return self._checked(value)[:count]

    def _ordinary(self, node: fx.Node, values: dict[fx.Node, Any], present: Weights) -> Any:
        """Return a node's value as the network computes it, with folded weights."""
        if node in present.folded:
            return values[node.all_input_nodes[0]]
        if node in present.convolutions:
            module = self.trace.modules[str(node.target)]
            assert isinstance(module, nn.Conv2d)
            if module.padding_mode == "zeros":
                weight, bias = present.convolutions[node]
                (features,) = (values[source] for source in node.all_input_nodes)
                return nn.functional.conv2d(
                    features,
                    weight,
                    bias,
                    module.stride,
                    module.padding,
                    module.dilation,
                    module.groups,
                )
        args = fx.node.map_arg(node.args, values.__getitem__)
        return self.trace.evaluate(node, args, fx.node.map_arg(node.kwargs, values.__getitem__))

    def _local(self, node: fx.Node, values: dict[fx.Node, Any], present: Weights, plan: Plan) -> Tensor:
        """Return a node's value in the windows."""
        local = plan.locals[node]
        if local.convolution is not None:
            settings = local.convolution
            if settings.weight is None:
                weight, bias = present.convolutions[node]
            else:
                weight, bias = values[settings.weight], None if settings.bias is None else values[settings.bias]
            return settings.run_on_windows(values[local.sources[0]], weight, bias)
        if local.on_windows is not None:
            return local.on_windows(values[local.sources[0]])
        value: Tensor = self._ordinary(node, values, present)
        return value

    def _checked(self, logits: Any) -> Tensor:
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            kind = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"network must return logits (N, K), got {kind}")
        return logits


def _batch_size(cells: int, image: Tensor) -> int:
    """Return how many cells of a class share a batch: on a processor few enough for its caches, on a GPU enough for it.

    All cells of one image then fill their batches nearly. Nothing but the grid, the images' size and the kind of device
    counts, or an image's rounding would depend on its neighbours.
    """
    most = 64 if image.device.type != "cpu" else 32 if max(image.shape[2:]) <= 64 else 16
    return -(-cells // -(-cells // most))


def _pixels(adversarials: Tensor, images: Tensor) -> Tensor:
    """Return all pixels of adversarial and then of clean images, ``(2 N H W, C)``."""
    return torch.cat([adversarials, images]).permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _changed_pixels(plan: Plan, node: fx.Node, images: Tensor, cells: Tensor, pixels: Tensor) -> Tensor:
    """Return the images' windows, in which a cell's pixels are the clean ones."""
    rows, columns = plan.windows[node]
    positions, inside = [], []
    for part, first, end in ((rows, 0, 2), (columns, 1, 3)):
        read = part.start[cells, None] + torch.arange(part.length, device=cells.device)
        bounds = plan.cells[cells]
        positions.append(read)
        inside.append((read >= bounds[:, first, None]) & (read < bounds[:, end, None]))
    place = positions[0][:, :, None] * columns.size + positions[1][:, None, :]
    clean = inside[0][:, :, None] & inside[1][:, None, :]
    index = place + images[:, None, None] * (rows.size * columns.size) + clean * (len(pixels) // 2)
    windows = pixels.index_select(0, index.flatten()).view(*index.shape, -1)
    return windows.permute(0, 3, 1, 2)
