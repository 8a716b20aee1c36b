"""The grid of cells that an image is divided into."""

import torch
from torch import Tensor
from torch.nn import functional


def grid_cells(height: int, width: int, cell_size: int, stride: int | None = None) -> Tensor:
    """Return the cells of an image's grid, row by row.

    A window of ``cell_size`` pixels moves by ``stride`` until it reaches the border, where it is clipped: every pixel
    lies in a cell, and with the default stride in exactly one. With a smaller stride the cells overlap.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        cell_size: Side of a cell, in pixels.
        stride: Pixels from one cell to the next; ``None`` for ``cell_size``.

    Returns:
        ``(top, left, bottom, right)`` of each cell, int64 ``(m, 4)``; bottom and right are the first pixels outside.

    Raises:
        ValueError: If ``cell_size`` is not a positive whole number, or ``stride`` is not one in 1 ... ``cell_size``.

    Example:
        >>> grid_cells(2, 5, cell_size=2).tolist()
        [[0, 0, 2, 2], [0, 2, 2, 4], [0, 4, 2, 5]]
    """
    step = _checked_stride(cell_size, stride)
    return torch.tensor(
        [
            [top, left, min(top + cell_size, height), min(left + cell_size, width)]
            for top in _starts(height, cell_size, step)
            for left in _starts(width, cell_size, step)
        ]
    )


def default_cell_size(height: int, width: int) -> int:
    """Return the side of PSR's cells in pixels: 4 for images of up to 64 pixels a side, else 13, StrAttack's at 299.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels; the longer side counts.

    Example:
        >>> default_cell_size(32, 32), default_cell_size(224, 224)
        (4, 13)
    """
    return 4 if max(height, width) <= 64 else 13


def check_cells(cell_size: int | None, stride: int | None = None) -> None:
    """Raise unless the cells are allowed for some image; ``None`` for :func:`default_cell_size`, of at least 4 pixels.

    Raises:
        ValueError: As :func:`grid_cells`.
    """
    if cell_size is None and isinstance(stride, int) and stride > 4:
        raise ValueError(f"stride must be at most 4 with cell_size None, got {stride}: name the cell_size, too")
    _checked_stride(4 if cell_size is None else cell_size, stride)


def cell_norms(perturbations: Tensor, cell_size: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the l2 and the l-inf norm of a perturbation in each cell of :func:`grid_cells`, over all channels.

    Args:
        perturbations: Adversarial minus clean images, ``(N, C, H, W)``.
        cell_size: As in :func:`grid_cells`.
        stride: As in :func:`grid_cells`.

    Returns:
        Two tensors, float64 ``(N, m)``.

    Raises:
        ValueError: As :func:`grid_cells`.
    """
    step = _checked_stride(cell_size, stride)
    height, width = perturbations.shape[-2:]
    rows, columns = _starts(height, cell_size, step), _starts(width, cell_size, step)
    # Zeros beyond the border make every window whole, and change no norm.
    padding = (0, max(0, columns[-1] + cell_size - width), 0, max(0, rows[-1] + cell_size - height))
    magnitudes = functional.pad(perturbations.double().abs(), padding)
    highest = magnitudes.amax(1).unfold(1, cell_size, step).unfold(2, cell_size, step)
    squared = magnitudes.square().sum(1).unfold(1, cell_size, step).unfold(2, cell_size, step)
    return squared.sum((-2, -1)).sqrt().flatten(1), highest.amax((-2, -1)).flatten(1)


def without_cells(images: Tensor, adversarials: Tensor, cells: Tensor) -> Tensor:
    """Return adversarial images with the clean pixels put back in one cell each, in all channels.

    Args:
        images: Clean images, ``(N, C, H, W)``.
        adversarials: Adversarial images, of the same shape.
        cells: ``(top, left, bottom, right)`` of one cell for each image, int64 ``(N, 4)``.

    Returns:
        ``(N, C, H, W)``.
    """
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device)[None, :, None]
    columns = torch.arange(width, device=images.device)[None, None, :]
    top, left, bottom, right = (side[:, None, None] for side in cells.unbind(1))
    inside = (top <= rows) & (rows < bottom) & (left <= columns) & (columns < right)
    return torch.where(inside[:, None], images, adversarials)


def cell_mask(chosen: Tensor, cells: Tensor, height: int, width: int) -> Tensor:
    """Return the pixels of the chosen cells of each image; of cells that overlap, the union.

    Args:
        chosen: Whether a cell is chosen, bool ``(N, m)``.
        cells: ``(top, left, bottom, right)`` of each cell, int64 ``(m, 4)``.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        bool ``(N, 1, H, W)``.

    Example:
        >>> cell_mask(torch.tensor([[False, True]]), grid_cells(2, 3, cell_size=2), 2, 3).tolist()
        [[[[False, False, True], [False, False, True]]]]
    """
    mask = torch.zeros(len(chosen), 1, height, width, dtype=torch.bool, device=chosen.device)
    for place, (top, left, bottom, right) in enumerate(cells.tolist()):
        mask[:, :, top:bottom, left:right] |= chosen[:, place, None, None, None]
    return mask


def _checked_stride(cell_size: int, stride: int | None) -> int:
    for name, value in (("cell_size", cell_size), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, int | None):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
    if cell_size < 1:
        raise ValueError(f"cell_size must be at least 1, got {cell_size}")
    step = cell_size if stride is None else stride
    if not 1 <= step <= cell_size:
        raise ValueError(f"stride must be in 1 ... cell_size = {cell_size}, got {stride}: no pixel may lie in no cell")
    return step


def _starts(length: int, cell_size: int, stride: int) -> list[int]:
    """Return the first pixels of the windows along one side: the last window is the first to reach the border."""
    return list(range(0, max(length - cell_size, 0) + stride, stride))
