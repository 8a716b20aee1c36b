"""The eleven basic colour terms of English, as a table from RGB to their names.

The table is made here, of a few rules in CIE L*C*h with round limits. docs/broden.md says how far it agrees with that
of NetDissect, which is learnt from images.
"""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from advscope.intervals import Estimate, mean
from datamodules.image_preprocessing import read_rgb

COLOURS = ("black", "blue", "brown", "grey", "green", "orange", "pink", "purple", "red", "white", "yellow")
"""The terms, in the order of the tables' values; that of van de Weijer et al., and of NetDissect's w2color.npy."""

_BINS = 32
_TABLE = (_BINS, _BINS, _BINS)

# sRGB to XYZ under D65 (IEC 61966-2-1); the white that Lab is relative to is the sum of each row.
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27


class _Rule(NamedTuple):
    """A box in L*C*h that has a name; limits are from ... below."""

    name: str
    hue: tuple[float, float] = (0, 360)
    chroma: tuple[float, float] = (0, math.inf)
    lightness: tuple[float, float] = (0, math.inf)


# The first rule that holds names a colour. Typical hues: red 25, orange 60, yellow 90, green 150, blue 265, purple 310.
_RULES = (
    # Without chroma; the darker or lighter, the more of it is not seen.
    _Rule("black", chroma=(0, 20), lightness=(0, 15)),
    _Rule("black", chroma=(0, 15), lightness=(0, 25)),
    _Rule("black", chroma=(0, 10), lightness=(0, 30)),
    _Rule("white", chroma=(0, 15), lightness=(90, math.inf)),
    _Rule("white", chroma=(0, 10), lightness=(80, math.inf)),
    _Rule("grey", chroma=(0, 10)),
    # Pink is light or pale red, and light purple that leans to red.
    _Rule("pink", hue=(0, 42), lightness=(60, math.inf), chroma=(0, 70)),
    _Rule("pink", hue=(0, 42), lightness=(45, math.inf), chroma=(0, 40)),
    _Rule("red", hue=(0, 42), chroma=(25, math.inf)),
    _Rule("brown", hue=(0, 42)),
    # Brown is orange or yellow that is pale or dark.
    _Rule("orange", hue=(42, 75), chroma=(40, math.inf), lightness=(45, math.inf)),
    _Rule("brown", hue=(42, 75)),
    _Rule("brown", hue=(75, 95), chroma=(0, 35), lightness=(0, 80)),
    _Rule("brown", hue=(75, 90), lightness=(0, 45)),
    _Rule("yellow", hue=(75, 115), lightness=(45, math.inf)),
    _Rule("green", hue=(75, 195)),
    _Rule("blue", hue=(195, 300)),
    # The hue of dark, strong blues is too large in CIELAB: the primary of sRGB has 306.
    _Rule("blue", hue=(300, 308), chroma=(55, math.inf), lightness=(0, 50)),
    _Rule("purple", hue=(300, 320)),
    _Rule("purple", hue=(320, 345), lightness=(0, 65)),
    _Rule("pink", hue=(320, 345)),
    _Rule("pink", hue=(345, 360), lightness=(45, math.inf)),
    _Rule("red", hue=(345, 360)),
)


def lightness_chroma_hue(rgb: NDArray[np.floating]) -> tuple[NDArray[np.float64], ...]:
    """Return CIE L* in 0 ... 100, C* from 0 and h in degrees, [0, 360), of sRGB in [0, 1], ``(..., 3)``.

    References:
        CIE 15:2004, *Colorimetry*, section 8.2.1, with the standard's illuminant D65.
    """
    rgb = np.asarray(rgb, np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    relative = linear @ _TO_XYZ.T / _TO_XYZ.sum(1)
    x, y, z = np.moveaxis(np.where(relative > _EPSILON, np.cbrt(relative), (_KAPPA * relative + 16) / 116), -1, 0)
    a, b = 500 * (x - y), 200 * (y - z)
    return 116 * y - 16, np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360


@cache
def colour_table() -> NDArray[np.uint8]:
    """Return the place in :data:`COLOURS` of the name of each cell of RGB // 8, ``(32, 32, 32)``; not to be written to.

    A cell is named after its centre.
    """
    centres = (np.moveaxis(np.indices(_TABLE), 0, -1) * 8 + 4) / 255
    found = lightness_chroma_hue(centres)
    table = np.full(_TABLE, len(COLOURS), np.uint8)
    for rule in _RULES:
        inside = table == len(COLOURS)
        for values, (low, high) in zip(found, (rule.lightness, rule.chroma, rule.hue), strict=True):
            inside &= (low <= values) & (values < high)
        table[inside] = COLOURS.index(rule.name)
    table.setflags(write=False)
    return table


def read_colour_table(path: Path) -> NDArray[np.uint8]:
    """Return a table from a ``.npy`` file in the form of :func:`colour_table`.

    The file holds places in :data:`COLOURS`, ``(32, 32, 32)`` by red, green and blue, as NetDissect's w2color.npy; or
    ``(32768,)`` of them; or ``(32768, 11)`` scores, of which the largest (of equal ones the first) names the cell. The
    rows of these two are in the order of van de Weijer's table: red // 8 + 32 (green // 8) + 1024 (blue // 8).

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is no such table; names the file in one line.
    """
    try:
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: name a colour table, or take colours 'ours' or 'none'") from None
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no readable .npy file ({reason}): replace it") from error
    cells, count = _BINS**3, len(COLOURS)
    form = f"{path} must hold places (32, 32, 32) or ({cells},), or scores ({cells}, {count})"
    # np.load also reads archives of several arrays.
    if not isinstance(table, np.ndarray) or table.shape not in (_TABLE, (cells,), (cells, count)):
        raise ValueError(f"{form}, got {getattr(table, 'shape', 'several arrays')}: replace it")
    if table.ndim == 2:
        if table.dtype.kind not in "fiu" or not np.isfinite(table).all():
            raise ValueError(f"{form} that are finite numbers: replace it")
        table = table.argmax(1)
    if table.dtype.kind not in "iu" or table.min() < 0 or table.max() >= count:
        raise ValueError(f"{form}, places from 0 to {count - 1}, got {table.dtype} {table.min()} ... {table.max()}")
    if table.ndim == 1:
        table = table.reshape(_TABLE).transpose(2, 1, 0)
    return np.ascontiguousarray(table, np.uint8)


def colour_places(pixels: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the place in :data:`COLOURS` of each pixel's name, ``(H, W)``, of RGB ``(H, W, 3)``."""
    red, green, blue = np.moveaxis(pixels // 8, -1, 0)
    places: NDArray[np.uint8] = table[red, green, blue]
    return places


def at_mask_size(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """Return the pixels ``(height, width, 3)`` whose colours a mask of that size names, means of what they cover."""
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def agreement(table: NDArray[np.uint8], paths: Sequence[Path] | None) -> Estimate:
    """Return the share of colours that a table and :func:`colour_table` name the same.

    Args:
        table: The other one, ``(32, 32, 32)``.
        paths: Images, of whose pixels at half their size the share is meant, as a mean over the images with its
            interval; None means cells, each of which counts once, and there is no interval: these are all there are.

    Raises:
        BrokenFileError: If an image cannot be decoded; names it.
    """
    same = table == colour_table()
    if paths is None:
        share = float(same.mean())
        return Estimate(share, share, share, same.size)
    shares = []
    for path in paths:
        image = read_rgb(str(path), remedy="replace or remove it")
        width, height = ((side + 1) // 2 for side in image.size)
        red, green, blue = np.moveaxis(at_mask_size(image, height, width) // 8, -1, 0)
        shares.append(float(same[red, green, blue].mean()))
    return mean(math.fsum(shares), math.fsum(share**2 for share in shares), len(shares))
