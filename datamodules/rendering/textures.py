"""Textures: fields in [-1, 1] of which the renderer makes darker and lighter places of a surface."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def _solid(x: Field, y: Field) -> Field:
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)


def _striped(x: Field, y: Field) -> Field:
    return _wave(y / 5 + 0 * x)


def _dotted(x: Field, y: Field) -> Field:
    u, v = x % 5 - 2.5, y % 5 - 2.5
    return np.clip(1.5 * (1.6 - np.sqrt(u * u + v * v)), -1, 1)


def _chequered(x: Field, y: Field) -> Field:
    return _wave(x / 7) * _wave(y / 7)


def _grid(x: Field, y: Field) -> Field:
    return 1 - 2 * np.maximum(np.clip(1.3 - np.abs(x % 5 - 2.5), 0, 1), np.clip(1.3 - np.abs(y % 5 - 2.5), 0, 1))


def _zigzagged(x: Field, y: Field) -> Field:
    return _wave((y + 1.5 * np.abs(x % 6 - 3)) / 6)


def _wave(turns: Field) -> Field:
    """Return a square wave with soft edges."""
    return np.clip(2.2 * np.sin(2 * np.pi * turns), -1, 1)


TEXTURES: dict[str, Callable[[Field, Field], Field]] = {
    "solid": _solid,
    "striped": _striped,
    "dotted": _dotted,
    "chequered": _chequered,
    "grid": _grid,
    "zigzagged": _zigzagged,
}
"""Textures by name: functions of coordinates in units of 1/32 of the picture's side."""

NAMES = tuple(TEXTURES)
DEPTH = 0.20
"""How much darker a texture makes a light colour, and how much lighter a dark one, in image units."""


def field(kinds: NDArray[np.int64], x: Field, y: Field) -> Field:
    """Return the texture of each picture of a block.

    Args:
        kinds: Places in :data:`NAMES`, ``(N,)``.
        x: Horizontal coordinates, ``(N, H, W)``.
        y: Vertical coordinates, ``(N, H, W)``.
    """
    result = np.zeros(x.shape, np.float32)
    for kind, texture in enumerate(TEXTURES.values()):
        chosen = kinds == kind
        if kind and chosen.any():
            result[chosen] = texture(x[chosen], y[chosen])
    return result
