"""Users' own images and masks written in Broden's layout, for whatever reads Broden."""

import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.broden.colour_names import colour_table, read_colour_table
from datamodules.broden.layout_writer import LayoutWriter
from datamodules.broden.sources import find_sources

Progress = Callable[[str, int, int], object]
"""Told of (what is done, how many images, of how many)."""


class Made(NamedTuple):
    """What was written."""

    images: int
    unlabelled: int
    """Images without a label but their colours': kept on request, or their labels' few pixels were lost in scaling."""
    labels: dict[str, int]
    """Labels by category."""


def make(
    output: str | Path,
    images: str | Path,
    masks: str | Path | None = None,
    labels: str | Path | None = None,
    image_labels: str | Path | None = None,
    colours: str | Path = "ours",
    size: int = 224,
    mask_size: int | None = None,
    source: str | None = None,
    ignore: Sequence[int] = (),
    keep_unlabelled: bool = False,
    progress: Progress | None = None,
) -> Made:
    """Write images, masks and tables as :class:`datamodules.Broden` reads them.

    Images are stretched to a square (bilinear, antialiased) and written as PNG; masks take the label nearest to each
    pixel's centre. Numbers of labels are kept. The folder is there when all of it is written, and not before.

    Args:
        output: Where to write; must not exist, or be empty.
        images: Folder of the images, at any depth.
        masks: Folder with one folder of masks per category, named as the images.
        labels: Table with the columns number, name, category; None names labels after their numbers.
        image_labels: Table with the columns image, category, label, of what holds for whole images.
        colours: ``ours`` names the colour of each pixel by :func:`colour_table`, ``none`` does not, and a ``.npy`` file
            is a table of one's own (:func:`read_colour_table`). Colours are a category of their own, ``color``.
        size: Side of the images, in pixels.
        mask_size: Side of the masks; None for half of it, rounded up.
        source: Folder of the images under ``images``; None for the name of the folder they come from.
        ignore: Numbers in masks that stand for unlabelled pixels, besides 0.
        keep_unlabelled: Keep images that have no label but their colours'; else the first one is refused.
        progress: Told how far it is.

    Raises:
        FileExistsError: If the folder holds something.
        FileNotFoundError: If a folder or table is missing.
        ValueError: If a setting is not allowed, or images, masks and tables do not fit each other; names the file.
    """
    output, images = Path(output), Path(images)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} is there already, and not an empty folder: name another one, or remove it")
    mask_size = (size + 1) // 2 if mask_size is None else mask_size
    for name, side in (("size", size), ("mask_size", mask_size)):
        if side < 1:
            raise ValueError(f"{name} must be at least 1 pixel, got {side}")
    source = images.resolve().name if source is None else source
    if not re.fullmatch(r"[^/\\;.][^/\\;]*", source):
        raise ValueError(f"source must be a folder's name without / or ;, got {source!r}: name another one")
    table = _colour_table(colours)
    told = (lambda done, count: progress("reading masks", done, count)) if progress is not None else None
    masks, labels, image_labels = (None if path is None else Path(path) for path in (masks, labels, image_labels))
    found = find_sources(images, masks, labels, image_labels, ignore, told)
    if table is not None and "color" in found.categories:
        raise ValueError("color is labelled already, by masks or tables: set colours to none, or leave it out there")

    if found.unlabelled and not keep_unlabelled:
        bare = f"{len(found.unlabelled):,} of {len(found.sources):,}"
        raise ValueError(
            f"{found.unlabelled[0]} has no label ({bare} images have none): label such images, remove them, or keep"
            " them (--keep-unlabelled)"
        )

    partial = output.resolve().with_name(f"{output.resolve().name}.{uuid.uuid4().hex}.partial")
    writer = LayoutWriter(partial, found, table, source, size, mask_size, frozenset(ignore))
    try:
        (partial / "images").mkdir(parents=True)
        for count, one in enumerate(found.sources, start=1):
            writer.write(one)
            if progress is not None:
                progress("writing", count, len(found.sources))
        counted = writer.finish()
        if output.exists():
            output.rmdir()
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Made(len(found.sources), writer.unlabelled, counted)


def _colour_table(colours: str | Path) -> NDArray[np.uint8] | None:
    if colours == "none":
        return None
    if colours == "ours":
        return colour_table()
    if Path(colours).suffix != ".npy":
        raise ValueError(f"colours must be ours, none or a .npy file, got {str(colours)!r}")
    return read_colour_table(Path(colours))
