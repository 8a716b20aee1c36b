"""Scenes: backgrounds of two tinted colours, over which nothing but a few distractors lies."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Draws = NDArray[np.float32]


def _plain(x: Field, y: Field, draws: Draws) -> Field:
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)


def _horizon(x: Field, y: Field, draws: Draws) -> Field:
    return np.clip(y - (18 + 8 * draws[0]) + 0 * x, 0, 1)


def _sea(x: Field, y: Field, draws: Draws) -> Field:
    return np.clip(y - (16 + 8 * draws[0]) - 1.3 * np.sin(x / 2.2 + 6 * draws[1]), 0, 1)


def _hills(x: Field, y: Field, draws: Draws) -> Field:
    return np.clip(y - (17 + 6 * draws[0]) - 5 * np.sin(x / 6 + 6 * draws[1]), 0, 1)


def _bricks(x: Field, y: Field, draws: Draws) -> Field:
    row = np.floor(y / 6 + draws[0])
    across = (x + 5 * (row % 2) + 10 * draws[1]) % 10
    along = (y + 6 * draws[0]) % 6
    return np.clip(np.maximum(1.2 - across, 1.2 - along), 0, 1)


def _night(x: Field, y: Field, draws: Draws) -> Field:
    u, v = (x + 3 * np.floor(y / 8) + 9 * draws[0]) % 9 - 4.5, (y + 8 * draws[1]) % 8 - 4
    return np.clip(1.3 - np.sqrt(u * u + v * v), 0, 1)


def _room(x: Field, y: Field, draws: Draws) -> Field:
    corner = 6 + 20 * draws[1]
    floor = 22 + 4 * draws[0] + 0.35 * np.abs(x - corner)
    return np.maximum(np.clip(y - floor, 0, 1), 0.45 * np.clip(x - corner, 0, 1))


SCENES: dict[str, Callable[[Field, Field, Draws], Field]] = {
    "plain": _plain,
    "horizon": _horizon,
    "sea": _sea,
    "hills": _hills,
    "bricks": _bricks,
    "night": _night,
    "room": _room,
}
"""Scenes by name: the share of the second colour in [0, 1], of coordinates in units of 1/32 of the picture's side."""

NAMES = tuple(SCENES)


def field(kinds: NDArray[np.int64], x: Field, y: Field, draws: Draws) -> Field:
    """Return the share of the second colour for each picture of a block, ``(N, H, W)``.

    Args:
        kinds: Places in :data:`NAMES`, ``(N,)``.
        x: Horizontal coordinates, ``(1, 1, W)``.
        y: Vertical coordinates, ``(1, H, 1)``.
        draws: Two numbers in [0, 1) for each picture, ``(2, N, 1, 1)``.
    """
    result = np.zeros((len(kinds), y.shape[1], x.shape[2]), np.float32)
    for kind, scene in enumerate(SCENES.values()):
        chosen = kinds == kind
        if kind and chosen.any():
            result[chosen] = scene(x, y, draws[:, chosen])
    return result
