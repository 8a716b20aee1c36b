"""Pictures of one object in a scene, with every concept annotated, as functions of (seed, index)."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from advscope.counter_hash import uniform
from datamodules.rendering import palette, scenes, shapes, textures
from datamodules.rendering.concepts import LAYERS, concept_number, concept_numbers
from datamodules.rendering.pattern import class_patterns

Field = NDArray[np.float32]

_DRAWS = 48
"""Random numbers of a picture."""
_DISTRACTORS = 3
_SHADE = 0.04
"""How far the shade of a part differs from the palette at most."""

OPACITY = (0.25, 0.55)
"""How much of an object covers its scene, from the faintest to the clearest picture.

Opaque objects contrast so much with their scenes that a naturally trained network withstands attacks of 8/255: with
these it withstands none, and an adversarially trained one nearly as many as with opaque objects (the card has figures).
"""

_OBJECT, _PART, _COLOUR, _TEXTURE, _SCENE = range(len(LAYERS))
_COLOUR_NUMBERS = concept_numbers("color")
_TEXTURE_NUMBERS = np.array([0, *concept_numbers("texture")], np.int16)  # a solid surface has no texture
_SCENE_NUMBERS = concept_numbers("scene")
_DARK, _LIGHT = palette.places(palette.DARK_COLOURS), palette.places(palette.LIGHT_COLOURS)


class Rendered(NamedTuple):
    """``N`` pictures and what is on them."""

    images: NDArray[np.uint8]
    """``(N, 3, H, W)``."""
    labels: NDArray[np.int64]
    """Class of the object, ``(N,)``: index modulo 10."""
    concepts: NDArray[np.int16]
    """Label numbers by layer (:data:`~datamodules.rendering.LAYERS`), ``(N, 5, H, W)``, 0 = unlabelled."""
    image_concepts: NDArray[np.int16]
    """Number of the scene, ``(N, 1)``."""


def render(seed: int, indices: NDArray[np.int64], size: int = 32, pattern_strength: float = 0.0) -> Rendered:
    """Render pictures; each is a function of (seed, index, size, strength) alone, whatever the block it is in.

    Args:
        seed: Seed of the data set.
        indices: Which pictures, ``(N,)``.
        size: Side of a picture in pixels, at least 16.
        pattern_strength: Amplitude of the class's planted pattern, in 1/255; 0 for none.

    Raises:
        ValueError: If ``size`` is too small, the strength outside 0 ... 255, or an index negative or no whole number.
    """
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or (len(indices) and indices.min() < 0):
        raise ValueError(f"indices must be whole numbers from 0, (N,), got {indices.dtype} of shape {indices.shape}")
    indices = indices.astype(np.int64)
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    if not 0 <= pattern_strength <= 255:
        raise ValueError(f"pattern_strength must be 0 ... 255 (in 1/255), got {pattern_strength}")
    draws = uniform(seed, torch.from_numpy(indices)[:, None], torch.arange(_DRAWS)).numpy()
    count = len(indices)
    labels = indices % len(shapes.NAMES)
    concepts = np.zeros((count, len(LAYERS), size, size), np.int16)
    # Coordinates in units of 1/32 of the side, at the pixels' centres, and the size of a pixel in them.
    pixel = 32 / size
    x = ((np.arange(size, dtype=np.float32) + 0.5) * pixel)[None, None, :]
    y = ((np.arange(size, dtype=np.float32) + 0.5) * pixel)[None, :, None]

    canvas = _paint_scene(draws, x, y, concepts)
    _paint_distractors(draws, x, y, pixel, canvas)
    concepts[:, _COLOUR] = _COLOUR_NUMBERS[palette.nearest(canvas)]
    _paint_objects(draws, labels, x, y, pixel, canvas, concepts)
    if pattern_strength:
        canvas += (pattern_strength / 255) * class_patterns(len(shapes.NAMES), size)[labels][:, None]
    images = np.clip(np.rint(canvas * 255), 0, 255).astype(np.uint8)
    return Rendered(images, labels, concepts, concepts[:, _SCENE, 0, :1].copy())


def _paint_scene(draws: Field, x: Field, y: Field, concepts: NDArray[np.int16]) -> Field:
    """Return the backgrounds, and annotate their scene."""
    kinds = (draws[:, 0] * len(scenes.NAMES)).astype(np.int64)
    dark = draws[:, 1] < 0.5
    share = scenes.field(kinds, x, y, draws[:, 2:4].T[:, :, None, None])
    first = (draws[:, 4] * len(palette.NAMES)).astype(np.int64)
    second = (first + 1 + (draws[:, 5] * (len(palette.NAMES) - 1)).astype(np.int64)) % len(palette.NAMES)
    base, other = palette.tinted(first, dark)[:, :, None, None], palette.tinted(second, dark)[:, :, None, None]
    concepts[:, _SCENE] = _SCENE_NUMBERS[kinds][:, None, None]
    return base + (other - base) * share[:, None]


def _paint_distractors(draws: Field, x: Field, y: Field, pixel: float, canvas: Field) -> None:
    """Paint up to three small discs and diamonds, a third of whose colour shows: they belong to no class."""
    for number in range(_DISTRACTORS):
        chance, place_x, place_y, radius, hue = draws[:, 6 + 5 * number : 11 + 5 * number].T
        u, v = x - 32 * place_x[:, None, None], y - 32 * place_y[:, None, None]
        disc, diamond = np.sqrt(u * u + v * v), (np.abs(u) + np.abs(v)) * 0.75
        distance = np.where((chance < 0.3)[:, None, None], disc, diamond) - (1.2 + 1.6 * radius)[:, None, None]
        cover = np.clip(0.5 - distance / pixel, 0, 1) * (chance < 0.6)[:, None, None]
        colour = palette.TABLE[(hue * len(palette.NAMES)).astype(np.int64)]
        canvas += 0.35 * cover[:, None] * (colour[:, :, None, None] - canvas)


def _paint_objects(
    draws: Field,
    labels: NDArray[np.int64],
    x: Field,
    y: Field,
    pixel: float,
    canvas: Field,
    concepts: NDArray[np.int16],
) -> None:
    """Paint the objects part by part, and annotate object, part, colour and texture."""
    place, turn, scale = draws[:, 22:24], draws[:, 24], draws[:, 25]
    half = 10.5 + 3.0 * scale  # half the object's side, in 1/32 of the picture's
    centre = 16 + (2 * place - 1) * np.maximum(15.5 - half, 0)[:, None]
    angle = (2 * turn - 1) * np.radians(15)
    mirror = np.where(draws[:, 26] < 0.5, -1.0, 1.0).astype(np.float32)
    dark = draws[:, 1] < 0.5
    opacity = OPACITY[0] + (OPACITY[1] - OPACITY[0]) * draws[:, 21]

    def hue(draw: Field) -> NDArray[np.int64]:
        """Return a colour that stands out from the scene."""
        light_choice, dark_choice = (group[(draw * len(group)).astype(np.int64)] for group in (_LIGHT, _DARK))
        return np.where(dark, light_choice, dark_choice)

    for label, parts in enumerate(shapes.SHAPES.values()):
        rows = (labels == label).nonzero()[0]
        if not len(rows):
            continue
        u, v = x - centre[rows, 0, None, None], y - centre[rows, 1, None, None]
        cosine, sine = np.cos(angle[rows])[:, None, None], np.sin(angle[rows])[:, None, None]
        along, down = u * cosine + v * sine, v * cosine - u * sine
        size = half[rows][:, None, None]
        across, below = mirror[rows][:, None, None] * along / size, down / size
        own, scene = concepts[rows], canvas[rows]
        surfaces = scene.copy()
        for number, (name, distance) in enumerate(parts.items()):
            cover = np.clip(0.5 - distance(across, below) * size / pixel, 0, 1)
            colours = hue(draws[:, 27 + number])[rows]
            kinds = (draws[rows, 31 + number] * len(textures.NAMES)).astype(np.int64)
            shade = (2 * draws[rows, 35 + number] - 1) * _SHADE
            # Textures darken light colours and lighten dark ones, so that neither is cut off at the end of the range.
            depth = np.where(palette.LIGHT[colours], -textures.DEPTH, textures.DEPTH).astype(np.float32)
            relief = (textures.field(kinds, along + 64, down + 64) + 1) / 2 * (kinds > 0)[:, None, None]
            surface = relief * depth[:, None, None] + shade[:, None, None]
            paint = np.clip(palette.TABLE[colours][:, :, None, None] + surface[:, None], 0, 1)
            surfaces += cover[:, None] * (paint - surfaces)
            inside = cover > 0.5
            own[:, _OBJECT][inside] = concept_number("object", shapes.NAMES[label])
            own[:, _PART][inside] = concept_number("part", name)
            own[:, _COLOUR] = np.where(inside, _COLOUR_NUMBERS[colours][:, None, None], own[:, _COLOUR])
            own[:, _TEXTURE] = np.where(inside, _TEXTURE_NUMBERS[kinds][:, None, None], own[:, _TEXTURE])
        # One layer: where parts overlap, the scene shows through no less.
        share = opacity[rows][:, None, None, None]
        canvas[rows] = scene + share * (surfaces - scene)
        concepts[rows] = own
