"""Label masks: PNG files whose pixels are label numbers, red + 256 x green."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.image_preprocessing import BrokenFileError, read_rgb

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = len(_SIGNATURE) + 18
"""Bytes up to the colour type: the signature, then the first chunk's length, name, width, height, depth and type."""
_TRUECOLOUR = 2


class PngHeader(NamedTuple):
    """What the first bytes of a PNG file say."""

    height: int
    width: int
    depth: int
    """Bits per channel, or per index into the palette."""
    colour_type: int
    """0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha."""


def read_header(path: str | Path) -> PngHeader:
    """Return what a PNG file says of itself, by its first bytes alone: there are 200,000 masks in Broden.

    Raises:
        FileNotFoundError: If it is missing.
        BrokenFileError: If it is no PNG file, or cannot be read; names the file.
    """
    try:
        # Unbuffered: a buffer would read thousands of bytes for the 26 that are needed.
        with open(path, "rb", buffering=0) as file:
            start = file.read(_HEADER)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: complete the data") from None
    except OSError as error:
        raise BrokenFileError(f"{path} is no readable mask ({error.strerror}): replace it") from error
    if len(start) < _HEADER or not start.startswith(_SIGNATURE) or start[12:16] != b"IHDR":
        raise BrokenFileError(f"{path} is no PNG file: replace it by a PNG whose pixels are label numbers")
    return PngHeader(int.from_bytes(start[20:24]), int.from_bytes(start[16:20]), start[24], start[25])


def check_header(path: str, height: int, width: int) -> None:
    """Refuse a file that is no label mask of this size, by its first bytes alone.

    Raises:
        FileNotFoundError: If it is missing.
        BrokenFileError: If it is no PNG of 8-bit RGB, or of another size; names the file.
    """
    header = read_header(path)
    if (header.height, header.width) != (height, width):
        raise BrokenFileError(
            f"{path} is {_size(header.height, header.width)}, but sh x sw is {_size(height, width)}:"
            " correct sh and sw, or it"
        )
    if (header.depth, header.colour_type) != (8, _TRUECOLOUR):
        raise BrokenFileError(
            f"{path} is no 8-bit RGB: write label numbers as red + 256 x green, without a palette or alpha"
        )


def read_mask(path: str, height: int, width: int) -> NDArray[np.uint16]:
    """Return the label numbers of a mask, ``(height, width)``.

    Raises:
        BrokenFileError: If it cannot be decoded, is of another size, or its blue is not 0 everywhere; names the file.
    """
    pixels = np.asarray(read_rgb(path, remedy="replace it"))
    if pixels.shape != (height, width, 3):
        found = _size(*pixels.shape[:2])
        raise BrokenFileError(f"{path} is {found}, but sh x sw is {_size(height, width)}: correct sh and sw, or it")
    return decoded(pixels, path)


def decoded(pixels: NDArray[np.uint8], path: str | Path) -> NDArray[np.uint16]:
    """Return the label numbers ``(H, W)`` of Broden's code, RGB ``(H, W, 3)``.

    Raises:
        BrokenFileError: If blue is not 0 everywhere; names the file.
    """
    if pixels[..., 2].any():
        raise BrokenFileError(f"{path} is no label mask: blue must be 0, labels are red + 256 x green; replace it")
    # Bytes red, green are one little-endian number: no arithmetic in uint8 that could overflow.
    return np.ascontiguousarray(pixels[..., :2]).view("<u2")[..., 0].astype(np.uint16, copy=False)


def write_mask(path: str | Path, labels: NDArray[np.integer]) -> None:
    """Write label numbers, ``(H, W)`` of 0 ... 65,535, as a PNG file.

    Raises:
        ValueError: If a number is outside that range.
    """
    if labels.size and not 0 <= labels.min() <= labels.max() <= 0xFFFF:
        raise ValueError(f"labels must be 0 ... 65,535, got {labels.min()} ... {labels.max()} for {path}")
    pixels = np.zeros((*labels.shape, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = labels & 0xFF, labels >> 8
    Image.fromarray(pixels).save(path)


def _size(height: int, width: int) -> str:
    return f"{height} x {width} pixels"
