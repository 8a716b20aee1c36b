"""Logits of adversarial images, and of those with the clean pixels put back in a cell: by full or partial forwards."""

import warnings
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from advscope.frozen import MicroBatched
from advscope.layers import inner
from advscope.measures.grid import without_cells
from advscope.measures.partial_forward import NotApplicableError, PartialForward

Forward = Literal["auto", "partial", "full"]
"""Which forward computes the logits of an image with one cell changed."""

TOLERANCE = 1e-4
"""In units of the range of an image's logits: what partial and full forward may differ by."""

USEFUL = {"auto": 0.5, "partial": 0.9}
"""The partial forward is taken where it spends at most this share of the full forward's multiply-adds.

Small windows keep a processor less busy than whole maps: at 32 px and 64% of the operations it took longer.
"""

Logits = Iterator[tuple[Tensor, Tensor | None, Tensor]]
"""Rows, the cell of each or ``None`` for the adversarial images themselves, and their logits ``(n, K)``."""


def check_forward(forward: str) -> None:
    """Raise unless the name is one of :data:`Forward`.

    Raises:
        ValueError: If it is not.
    """
    if forward not in get_args(Forward):
        raise ValueError(f'forward must be "auto", "partial" or "full", got {forward!r}')


def partial_forward(
    network: nn.Module, image: Tensor, cells: Tensor, forward: Forward
) -> tuple[PartialForward | None, str]:
    """Return the partial forward of a network, or ``None`` where the full one is to be used; and why, in a line.

    Warns if ``forward`` is ``"auto"`` and the partial one does not apply; not if it merely saves nothing.

    Args:
        network: In evaluation mode; micro-batched or not.
        image: One image ``(1, C, H, W)``, of the size, type and device of all.
        cells: ``(top, left, bottom, right)`` of each cell, int64 ``(m, 4)``.
        forward: ``"auto"``, ``"partial"`` or ``"full"``.

    Raises:
        ValueError: If ``forward`` is ``"partial"``, and it does not apply or saves nothing.
    """
    if forward == "full":
        return None, "full forward: asked for"
    try:
        found = PartialForward(inner(network), image, cells)
        share = float(found.shares.mean())
        if share <= USEFUL[forward]:
            return found, f"partial forward: {share:.0%} of the operations of full ones"
        reason = f"a cell changes too much of the maps: {share:.0%} of the operations would be spent"
        if share != share:
            reason = "the network has no convolution or linear layer"
    except NotApplicableError as error:
        reason = str(error)
        if forward == "auto":
            warnings.warn(f"PSR takes the full forward: {reason}", stacklevel=3)
    if forward == "partial":
        raise ValueError(f'forward="partial" does not apply: {reason}; use "auto" or "full"')
    return None, f"full forward: {reason}"


def full_logits(
    network: nn.Module, images: Tensor, adversarials: Tensor, cells: Tensor, asked: Tensor, chunk_size: int
) -> Logits:
    """Yield the logits by one pass of the network for each image and each cell that is asked for, bool ``(N, m)``."""
    for rows in torch.arange(len(images), device=images.device).split(chunk_size):
        yield rows, None, network(adversarials[rows])
    chosen, places = asked.nonzero(as_tuple=True)
    for rows, parts in zip(chosen.split(chunk_size), places.split(chunk_size), strict=True):
        if len(rows):
            yield rows, parts, network(without_cells(images[rows], adversarials[rows], cells[parts]))


def partial_logits(
    network: nn.Module, images: Tensor, adversarials: Tensor, cells: Tensor, asked: Tensor, partial: PartialForward
) -> Logits:
    """Yield the same by the partial forward, of which one cell of each group of images is compared with the full one.

    A micro-batched network counts what it counts for full forwards: an image each, and a cell each. The comparison is
    not counted.

    Raises:
        NotApplicableError: If they differ by more than 1e-4 of the range of the image's logits.
    """
    due: tuple[int, int] | None = None
    for rows, places, logits in partial.logits(images, adversarials, asked):
        yield rows, places, logits
        if places is None:
            due = _middle(rows, asked)
            if due is not None:
                _compare(network, adversarials[due[0], None], logits[rows == due[0]])
        elif due is not None and bool((found := (rows == due[0]) & (places == due[1])).any()):
            changed = without_cells(images[due[0], None], adversarials[due[0], None], cells[due[1], None])
            _compare(network, changed, logits[found])
            due = None
    if isinstance(network, MicroBatched):
        network.forwards += len(images) + int(asked.sum())


def _middle(rows: Tensor, asked: Tensor) -> tuple[int, int] | None:
    """Return the first row with a cell that is asked for, and the middle one of these."""
    for row in rows.tolist():
        places = asked[row].nonzero().flatten().tolist()
        if places:
            return row, places[len(places) // 2]
    return None


def _compare(network: nn.Module, image: Tensor, logits: Tensor) -> None:
    """Raise unless the full forward gives these logits; what is not finite must be so in both."""
    full = inner(network)(image)
    spread = (full.amax() - full.amin()).nan_to_num(0.0, 0.0, 0.0)
    # Equal logits have no range: rounding is then judged by their size.
    allowed = float(TOLERANCE * spread.clamp(min=float(1e-3 * full.abs().nan_to_num(0.0, 0.0, 0.0).amax())))
    if not torch.allclose(logits, full, rtol=0.0, atol=allowed, equal_nan=True):
        worst = float((logits - full).abs().amax())
        raise NotApplicableError(
            f"the partial forward's logits differ from it by {worst:.2g}, more than {TOLERANCE:g} of their range"
        )
