"""Masks as users have them: PNG files of label numbers, in any of the ways that these are commonly written."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.broden.label_mask import decoded, read_header
from datamodules.image_preprocessing import BrokenFileError, read_rgb

_GREY, _RGB, _PALETTE = 0, 2, 3


def read_source_mask(path: Path) -> NDArray[np.uint16]:
    """Return the numbers of a mask, ``(H, W)``, 0 ... 65,535.

    They are grey levels of 1, 8 or 16 bits; indices into a palette, whatever its colours; or red + 256 x green of 8-bit
    RGB whose blue is 0, as in Broden. Grey of 2 or 4 bits is refused, since programs scale it to 8, and so is alpha.

    Raises:
        BrokenFileError: If it is none of these, or cannot be decoded; names the file in one line.
    """
    header = read_header(path)
    allowed = {_GREY: (1, 8, 16), _RGB: (8,), _PALETTE: (1, 2, 4, 8)}
    if header.depth not in allowed.get(header.colour_type, ()):
        kinds = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
        kind = kinds.get(header.colour_type, "unknown")
        raise BrokenFileError(
            f"{path} is a PNG of {header.depth}-bit {kind}: write label numbers as grey of 8 or 16 bits, as indices"
            " into a palette, or as red + 256 x green"
        )
    # This decodes the whole file, and refuses one that is cut off.
    pixels = np.asarray(read_rgb(str(path), remedy="replace it"))
    if header.colour_type == _RGB:
        return decoded(pixels, path)
    with Image.open(path) as image:
        # PIL expands neither palettes nor 16 bits on its own; 1 bit comes as truth values.
        return np.asarray(image).astype(np.uint16)


def nearest(mask: NDArray[np.uint16], height: int, width: int) -> NDArray[np.uint16]:
    """Return a mask scaled: each pixel has the number at the place that its centre falls on, none is mixed.

    Example:
        >>> nearest(np.array([[1, 2, 3, 4]], np.uint16), 1, 2).tolist()
        [[2, 4]]
    """
    rows, columns = (
        ((2 * np.arange(new) + 1) * old) // (2 * new) for new, old in ((height, mask.shape[0]), (width, mask.shape[1]))
    )
    scaled: NDArray[np.uint16] = mask[rows[:, None], columns]
    return scaled


def matched(masks: Path, stems: frozenset[str]) -> dict[str, list[Path]]:
    """Return the masks in a folder by the stem of the image that each belongs to, channels in order.

    ``x.png`` and ``x_1.png``, ``x_2.png`` ... belong to the image ``x``, unless there is an image ``x_1`` itself. Stems
    are paths below the folders, with ``/``. Hidden files are passed over.

    Raises:
        ValueError: If a file is no PNG by its ending, or belongs to no image; names it in one line.
    """
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(masks.rglob("*")):
        relative = path.relative_to(masks)
        if path.is_dir() or any(part.startswith(".") for part in relative.parts):
            continue
        if path.suffix.lower() != ".png":
            raise ValueError(f"{path} is no PNG file: masks must be, since others change label numbers; convert it")
        stem, channel = relative.with_suffix("").as_posix(), 0
        if stem not in stems and (numbered := re.fullmatch(r"(.+)_([0-9]{1,4})", stem)):
            stem, channel = numbered[1], int(numbered[2])
        if stem not in stems:
            raise ValueError(
                f"{path} belongs to no image: name it like its image, {masks.name}/NAME.png or {masks.name}/NAME_1.png"
            )
        found.setdefault(stem, []).append((channel, path))
    return {stem: [path for _, path in sorted(paths)] for stem, paths in found.items()}
