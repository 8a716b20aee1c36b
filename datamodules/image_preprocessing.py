"""From an image file to the uint8 pixels that a network sees, as torchvision does it on PIL images."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile
from torch import Tensor

from advscope.counter_hash import uniform

# What a random number is for; each crop has ten attempts.
_AREA, _RATIO, _ROW, _COLUMN, _FLIP = 0xB001, 0xB002, 0xB003, 0xB004, 0xB005
_ATTEMPTS = 10
_RATIOS = (3 / 4, 4 / 3)


class BrokenFileError(ValueError):
    """An image file that cannot be decoded, or that holds what it must not; the message names it in one line."""


class Draws(NamedTuple):
    """Random numbers in [0, 1) that decide the crops of ``N`` images; each row makes ten attempts."""

    areas: Tensor
    ratios: Tensor
    rows: Tensor
    columns: Tensor
    flips: Tensor


def draw(indices: Tensor, *, seed: int, epoch: int) -> Draws:
    """Return what decides the crop and the flip of each image in an epoch, as a function of (seed, epoch, index)."""
    attempts = torch.arange(_ATTEMPTS)
    indices = indices[:, None]
    kinds = (_AREA, _RATIO, _ROW, _COLUMN)
    areas, ratios, rows, columns = (uniform(seed, epoch, indices, kind, attempts) for kind in kinds)
    return Draws(areas, ratios, rows, columns, uniform(seed, epoch, indices[:, 0], _FLIP))


def crop_box(width: int, height: int, draws: Draws, place: int, min_area: float) -> tuple[int, int, int, int]:
    """Return the random crop of one image, ``(left, top, right, bottom)``: Inception's, as in torchvision.

    The area is uniform in [``min_area``, 1] of the image's and the ratio of the sides log-uniform in [3/4, 4/3]. The
    first of ten attempts that fits into the image is taken; if none does, the largest central crop of allowed ratio.

    References:
        Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015, section 6, https://arxiv.org/abs/1409.4842
    """
    for area, ratio, row, column in zip(
        *(numbers[place].tolist() for numbers in (draws.areas, draws.ratios, draws.rows, draws.columns)), strict=True
    ):
        target = width * height * (min_area + (1 - min_area) * area)
        aspect = math.exp(math.log(_RATIOS[0]) + (math.log(_RATIOS[1]) - math.log(_RATIOS[0])) * ratio)
        crop_width, crop_height = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top, left = int(row * (height - crop_height + 1)), int(column * (width - crop_width + 1))
            return left, top, left + crop_width, top + crop_height
    crop_width = min(width, round(height * _RATIOS[1]))
    crop_height = min(height, round(width / _RATIOS[0]))
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def random_crop(
    image: Image.Image, draws: Draws, place: int, *, size: int, min_area: float, resampling: Image.Resampling
) -> NDArray[np.uint8]:
    """Return a random crop scaled to ``(size, size, 3)``, mirrored every other time."""
    cropped = image.crop(crop_box(*image.size, draws, place, min_area)).resize((size, size), resampling)
    pixels = np.asarray(cropped)
    return pixels[:, ::-1] if draws.flips[place] < 0.5 else pixels


def central_crop(image: Image.Image, *, size: int, resize: int, resampling: Image.Resampling) -> NDArray[np.uint8]:
    """Return the centre ``(size, size, 3)`` of an image whose short side is scaled to ``resize``."""
    width, height = image.size
    short = min(width, height)
    if short != resize:
        width, height = int(resize * width / short), int(resize * height / short)
        image = image.resize((width, height), resampling)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def read_rgb(
    source: str | BytesIO, name: str | None = None, remedy: str = "replace or remove it, or set broken to skip"
) -> Image.Image:
    """Return an encoded image decoded as RGB, all of it: a file that is cut off is broken, not half grey.

    As torchvision does it: grey levels are repeated, an alpha channel is dropped, CMYK and palettes are converted, and
    a rotation that EXIF asks for is not made. Unlike there, where all above 255 would be white, 16-bit grey levels
    keep their upper eight bits, which is what becomes of 16-bit colours.

    Args:
        source: A path, or the file's bytes.
        name: What messages call it; None for the path.
        remedy: What messages advise.

    Raises:
        BrokenFileError: If it cannot be decoded, or holds 32-bit numbers, whose white is not known; names it in one
            line.
    """
    name = str(source) if name is None else name
    try:
        with Image.open(source) as image, _whole_files_alone():
            image.load()
            if image.mode == "RGB":
                return image
            # Some versions of PIL hold a PNG's 16 bits in 32.
            if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            if image.mode in ("I", "F"):
                raise ValueError("pixels are 32-bit numbers, whose white is not known; convert it to 8 bits")
            return image.convert("RGB")
    # PIL reports damage by all of these, by the format.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise BrokenFileError(f"{name} is no readable image ({reason}): {remedy}") from error


@contextmanager
def _whole_files_alone() -> Iterator[None]:
    """Have PIL refuse files that are cut off, also where another library has allowed them for the whole process."""
    allowed = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = allowed
