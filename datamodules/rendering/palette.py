"""The eleven colours, by Broden's names, and the tints that scenes are painted in."""

import numpy as np
from numpy.typing import NDArray

COLOURS: dict[str, tuple[float, float, float]] = {
    "black": (0.06, 0.06, 0.07),
    "blue": (0.10, 0.25, 0.85),
    "brown": (0.45, 0.25, 0.10),
    "green": (0.10, 0.55, 0.18),
    "grey": (0.50, 0.50, 0.50),
    "orange": (1.00, 0.55, 0.10),
    "pink": (1.00, 0.62, 0.78),
    "purple": (0.48, 0.14, 0.64),
    "red": (0.84, 0.10, 0.12),
    "white": (0.96, 0.96, 0.96),
    "yellow": (0.98, 0.90, 0.18),
}
"""RGB in [0, 1] of each colour; a picture's own shade differs by at most 0.04."""

NAMES = tuple(COLOURS)
TABLE: NDArray[np.float32] = np.array(list(COLOURS.values()), np.float32)

DARK_COLOURS = ("black", "blue", "brown", "green", "purple", "red")
"""Colours of objects in light scenes."""

LIGHT_COLOURS = ("grey", "orange", "pink", "white", "yellow")
"""Colours of objects in dark scenes."""

TINT = 0.72
"""How far a scene's colours are mixed with white (light scenes) or black (dark scenes)."""


LIGHT: NDArray[np.bool_] = TABLE.mean(1) > 0.52
"""Whether a colour is one that textures darken; they lighten the others, grey among them."""

_BINS = 32


def _nearest_by_bin() -> NDArray[np.int64]:
    """Return the place of the colour nearest to the centre of each of 32 x 32 x 32 bins of RGB."""
    centres = (np.indices((_BINS,) * 3).reshape(3, -1).T + 0.5) / _BINS
    return ((centres[:, None] - TABLE) ** 2).sum(2).argmin(1)


_NEAREST = _nearest_by_bin()


def places(names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the places of colours in the palette."""
    return np.array([NAMES.index(name) for name in names])


def nearest(canvas: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the place of the colour that is nearest in RGB, by a table of 32 bins a channel as Broden's.

    Args:
        canvas: RGB in [0, 1], ``(N, 3, H, W)``.

    Returns:
        Places in the palette, ``(N, H, W)``.
    """
    red, green, blue = (np.clip(canvas * _BINS, 0, _BINS - 1).astype(np.int32)).transpose(1, 0, 2, 3)
    return _NEAREST[(red * _BINS + green) * _BINS + blue]


def tinted(colours: NDArray[np.int64], dark: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return scene colours, ``(N, 3)``: mixed with white, or with black where the scene is dark."""
    ground = np.where(dark[:, None], 0.0, 1.0).astype(np.float32)
    return ((1 - TINT) * TABLE[colours] + TINT * ground).astype(np.float32)
