"""Perturbations to compare an attack's with: of the same size, but placed at random."""

import torch
from torch import Tensor

from advscope.counter_hash import hash32, normal

_NOISE, _PIXELS, _CELLS = 1, 2, 3
_AT_ONCE = 1 << 16
"""Numbers drawn at once: few enough to stay in a processor's caches; memory and speed only."""


def noise_control(perturbations: Tensor, indices: Tensor, seed: int = 0) -> Tensor:
    """Return Gaussian noise with the l2 norm of each perturbation.

    Independent normal numbers in every element, scaled to the norm. Where only shares of the norm are read, as the
    interpretability score does, the scaling changes nothing.

    Args:
        perturbations: Adversarial minus clean images, ``(N, C, H, W)``.
        indices: Place of each image in its data set, int64 ``(N,)``: the noise is a function of (seed, index, element).
        seed: Of the noise.

    Returns:
        ``(N, C, H, W)``; 0 without a perturbation, and ``nan`` for one with a ``nan``.

    Raises:
        ValueError: If a shape or type is wrong.
    """
    _check(perturbations, indices)
    elements = torch.arange(perturbations[0].numel() if len(perturbations) else 0, device=perturbations.device)
    at_once = max(1, _AT_ONCE // max(1, len(indices)))
    noise = torch.cat([normal(seed, _NOISE, indices.view(-1, 1), some) for some in elements.split(at_once)], 1).double()
    # Of the norms' sums each row's is its own: no result depends on the batch.
    factor = perturbations.double().flatten(1).norm(dim=1) / noise.norm(dim=1)
    scaled: Tensor = (noise * factor[:, None]).to(perturbations.dtype)
    return scaled.view_as(perturbations)


def shuffled_control(perturbations: Tensor, indices: Tensor, seed: int = 0) -> Tensor:
    """Return each perturbation with its pixels permuted over the positions, all channels of a pixel together.

    The same values, and so the same norms and the same sparsity, exactly; only where they lie is random.

    Args:
        perturbations: Adversarial minus clean images, ``(N, C, H, W)``.
        indices: Place of each image in its data set, int64 ``(N,)``: the order is a function of (seed, index).
        seed: Of the permutation.

    Returns:
        ``(N, C, H, W)``.

    Raises:
        ValueError: If a shape or type is wrong.
    """
    _check(perturbations, indices)
    flat = perturbations.flatten(2)
    order = _order(flat.shape[2], indices, seed, _PIXELS)
    return flat.gather(2, order[:, None].expand_as(flat)).view_as(perturbations)


def shuffled_cells_control(perturbations: Tensor, indices: Tensor, cell_size: int, seed: int = 0) -> Tensor:
    """Return each perturbation with the cells of a grid permuted, each cell kept as it is.

    Cells that the border clips change places with those of their shape alone. The same norms, sparsity and group
    sparsity (sum over cells of the l2 norms), exactly.

    Args:
        perturbations: Adversarial minus clean images, ``(N, C, H, W)``.
        indices: Place of each image in its data set, int64 ``(N,)``: the order is a function of (seed, index).
        cell_size: Side of a cell, in pixels; the grid of :func:`~advscope.measures.grid_cells`.
        seed: Of the permutation.

    Returns:
        ``(N, C, H, W)``.

    Raises:
        ValueError: If a shape or type is wrong, or ``cell_size`` is not positive.
    """
    _check(perturbations, indices)
    if cell_size < 1:
        raise ValueError(f"cell_size must be at least 1, got {cell_size}")
    height, width = perturbations.shape[-2:]
    device = perturbations.device
    down, across = -(-height // cell_size), -(-width // cell_size)
    cells = torch.arange(down * across, device=device)
    tops, lefts = cells // across * cell_size, cells % across * cell_size
    shape = (tops + cell_size > height) * 2 + (lefts + cell_size > width)
    # Two orders of the cells with those of one shape in a row: as they lie, and at random within a shape.
    keys = _keys(len(cells), indices, seed, _CELLS)
    drawn = keys.argsort(dim=1, stable=True)
    drawn = drawn.gather(1, shape[drawn].argsort(dim=1, stable=True))
    source = torch.empty_like(drawn).scatter_(1, shape.argsort(stable=True).expand_as(drawn), drawn)
    rows = torch.arange(height, device=device)[:, None]
    columns = torch.arange(width, device=device)
    cell = (rows // cell_size * across + columns // cell_size).flatten()
    offset = (rows % cell_size * width + columns % cell_size).flatten()
    places = (tops * width + lefts)[source[:, cell]] + offset
    flat = perturbations.flatten(2)
    return flat.gather(2, places[:, None].expand_as(flat)).view_as(perturbations)


def _order(count: int, indices: Tensor, seed: int, purpose: int) -> Tensor:
    """Return a random order of ``count`` things for each image, int64 ``(N, count)``."""
    return _keys(count, indices, seed, purpose).argsort(dim=1, stable=True)


def _keys(count: int, indices: Tensor, seed: int, purpose: int) -> Tensor:
    """Return 62 random bits for each of ``count`` things of each image: ties are next to impossible."""
    places = torch.arange(count, device=indices.device)
    high, low = (hash32(seed, purpose, half, indices.view(-1, 1), places) for half in (1, 2))
    return (high >> 1) << 31 | (low >> 1)


def _check(perturbations: Tensor, indices: Tensor) -> None:
    """Raise unless perturbations and indices belong together."""
    if perturbations.ndim != 4 or not perturbations.is_floating_point():
        raise ValueError(
            f"perturbations must be float (N, C, H, W), got {perturbations.dtype} {tuple(perturbations.shape)}"
        )
    if indices.dtype != torch.int64 or indices.shape != perturbations.shape[:1]:
        raise ValueError(
            f"indices must be int64 ({len(perturbations)},), got {indices.dtype} {tuple(indices.shape)}: one for each"
        )
