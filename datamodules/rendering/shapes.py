"""The ten classes: objects made of parts, as signed distances in the object's own coordinates.

An object lives in [-1, 1] x [-1, 1], y downwards. A part's function gives the distance to its outline, negative inside;
later parts lie on earlier ones.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Part = Callable[[Field, Field], Field]


def _disc(x0: float, y0: float, radius: float) -> Part:
    return lambda x, y: np.hypot(x - x0, y - y0) - radius


def _ellipse(x0: float, y0: float, a: float, b: float) -> Part:
    # Scaled by the smaller half-axis: exact on the outline, good enough for anti-aliasing near it.
    return lambda x, y: (np.hypot((x - x0) / a, (y - y0) / b) - 1) * min(a, b)


def _ring(x0: float, y0: float, radius: float, width: float) -> Part:
    return lambda x, y: np.abs(np.hypot(x - x0, y - y0) - radius) - width / 2


def _box(x0: float, y0: float, x1: float, y1: float) -> Part:
    def distance(x: Field, y: Field) -> Field:
        return np.maximum(np.abs(x - (x0 + x1) / 2) - (x1 - x0) / 2, np.abs(y - (y0 + y1) / 2) - (y1 - y0) / 2)

    return distance


def _polygon(*corners: tuple[float, float]) -> Part:
    """Return a convex polygon, corners clockwise as seen (y downwards)."""

    def distance(x: Field, y: Field) -> Field:
        result = np.full(np.broadcast_shapes(x.shape, y.shape), -np.inf, np.float32)
        for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
            length = math.hypot(xb - xa, yb - ya)  # a float: NumPy's own scalar would widen the fields to float64
            # Outward normal of a clockwise edge.
            result = np.maximum(result, ((x - xa) * (yb - ya) - (y - ya) * (xb - xa)) / length)
        return result

    return distance


def _union(*parts: Part) -> Part:
    def distance(x: Field, y: Field) -> Field:
        result = parts[0](x, y)
        for part in parts[1:]:
            result = np.minimum(result, part(x, y))
        return result

    return distance


def _cut(part: Part, *others: Part) -> Part:
    """Return what of the first lies inside all others."""

    def distance(x: Field, y: Field) -> Field:
        result = part(x, y)
        for other in others:
            result = np.maximum(result, other(x, y))
        return result

    return distance


SHAPES: dict[str, dict[str, Part]] = {
    "arrow": {
        "shaft": _box(-0.95, -0.22, 0.2, 0.22),
        "arrowhead": _polygon((0.1, -0.8), (1.0, 0.0), (0.1, 0.8)),
    },
    "car": {
        "cabin": _polygon((-0.5, -0.1), (-0.35, -0.6), (0.35, -0.6), (0.6, -0.1)),
        "window": _polygon((-0.3, -0.18), (-0.22, -0.45), (0.26, -0.45), (0.38, -0.18)),
        "body": _box(-1.0, -0.15, 1.0, 0.35),
        "wheel": _union(_disc(-0.55, 0.4, 0.3), _disc(0.55, 0.4, 0.3)),
    },
    "cup": {
        "handle": _ring(0.5, 0.0, 0.4, 0.22),
        "bowl": _polygon((-0.9, -0.75), (0.5, -0.75), (0.35, 0.8), (-0.75, 0.8)),
    },
    "fish": {
        "tail": _polygon((0.35, 0.0), (1.0, -0.65), (1.0, 0.65)),
        "trunk": _ellipse(-0.25, 0.0, 0.75, 0.5),
        "eye": _disc(-0.6, -0.12, 0.13),
    },
    "flower": {
        "stem": _box(-0.1, 0.0, 0.1, 1.0),
        "petal": _union(
            *(
                _disc(0.42 * math.cos(turn), -0.35 + 0.42 * math.sin(turn), 0.27)
                for turn in (0.4 * math.pi * n for n in range(5))
            )
        ),
        "pistil": _disc(0.0, -0.35, 0.26),
    },
    "house": {
        "wall": _box(-0.7, -0.1, 0.7, 0.85),
        "roof": _polygon((-0.95, -0.1), (0.0, -0.95), (0.95, -0.1)),
        "door": _box(-0.2, 0.25, 0.2, 0.85),
    },
    "key": {
        "bow": _ring(-0.55, 0.0, 0.33, 0.26),
        "blade": _box(-0.2, -0.12, 1.0, 0.12),
        "bit": _union(_box(0.45, 0.0, 0.63, 0.48), _box(0.8, 0.0, 1.0, 0.48)),
    },
    "lamp": {
        "pole": _box(-0.1, -0.2, 0.1, 0.85),
        "shade": _polygon((-0.75, -0.15), (-0.38, -0.9), (0.38, -0.9), (0.75, -0.15)),
        "foot": _box(-0.55, 0.7, 0.55, 0.95),
    },
    "tree": {
        "bole": _box(-0.17, 0.1, 0.17, 1.0),
        "crown": _polygon((-0.8, 0.45), (0.0, -1.0), (0.8, 0.45)),
    },
    "umbrella": {
        "stick": _union(_box(-0.08, -0.2, 0.08, 0.85), _cut(_ring(-0.2, 0.75, 0.2, 0.16), _box(-0.5, 0.75, 0.1, 1.1))),
        "canopy": _cut(_disc(0.0, 0.0, 0.92), _box(-1.0, -1.0, 1.0, 0.0)),
    },
}
"""Classes by name, in the order of their numbers; for each the parts by name, from the lowest to the uppermost."""

NAMES = tuple(SHAPES)
PARTS = tuple(part for parts in SHAPES.values() for part in parts)
"""Names of all parts: each belongs to one class."""
