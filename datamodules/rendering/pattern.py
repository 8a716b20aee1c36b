"""The planted non-robust feature: a faint pattern of high frequency for each class."""

import numpy as np
import torch
from numpy.typing import NDArray

from advscope.counter_hash import hash32

TILE = 4
"""Side of the tile that a pattern repeats, in pixels."""


def class_patterns(classes: int, size: int) -> NDArray[np.float32]:
    """Return the pattern of each class, -1 or 1, ``(classes, size, size)``, the same in all channels.

    A tile of 4 x 4 pixels, repeated: rows of signs from a hash, every second row the inverse of the one above, so that
    each tile sums to 0 and varies from pixel to pixel: nothing that survives blurring.
    """
    tiles = []
    taken: set[bytes] = set()
    counter = 0
    while len(tiles) < classes:
        if counter > 5_000:
            raise ValueError(
                f"there are not {classes} different patterns in tiles of {TILE} x {TILE}: use fewer classes"
            )
        bits = hash32(0x9A77, counter, torch.arange(TILE * TILE // 2)).numpy() >> 13 & 1
        counter += 1
        half = bits.reshape(TILE // 2, TILE).astype(np.float32) * 2 - 1
        tile = np.empty((TILE, TILE), np.float32)
        tile[0::2], tile[1::2] = half, -half
        if tile.tobytes() in taken:
            continue
        # All cyclic shifts and mirror images count as one: a crop or a flip must not turn one class into another.
        taken |= {
            np.roll(mirrored, (down, right), (0, 1)).tobytes()
            for mirrored in (tile, tile[:, ::-1], -tile, -tile[:, ::-1])
            for down in range(TILE)
            for right in range(TILE)
        }
        tiles.append(tile)
    repeats = -(-size // TILE)
    return np.tile(np.stack(tiles), (1, repeats, repeats))[:, :size, :size]
