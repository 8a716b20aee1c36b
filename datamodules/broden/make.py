"""Users' own images and masks written in Broden's layout, for whatever reads Broden."""

import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.broden.colour_names import COLOURS, colour_places, colour_table, read_colour_table
from datamodules.broden.label_mask import write_mask
from datamodules.broden.source_labels import MOST, first_free
from datamodules.broden.source_masks import nearest, read_source_mask
from datamodules.broden.sources import CATEGORIES, Source, Sources, find_sources
from datamodules.broden.split_rule import split_of
from datamodules.broden.written_tables import CountedLabel, write_index, write_label_tables
from datamodules.image_preprocessing import read_rgb

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
        raise ValueError(
            f"{found.unlabelled[0]} has no label (in all, {len(found.unlabelled):,} of {len(found.sources):,} images have"
            " none): label them, remove them, or keep them (--keep-unlabelled)"
        )

    partial = output.resolve().with_name(f"{output.resolve().name}.{uuid.uuid4().hex}.partial")
    writer = _Writer(partial, found, table, source, size, mask_size, frozenset(ignore))
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


class _Writer:
    """Writes images one by one, and counts what they show."""

    def __init__(
        self,
        folder: Path,
        found: Sources,
        table: NDArray[np.uint8] | None,
        source: str,
        size: int,
        mask_size: int,
        ignored: frozenset[int],
    ) -> None:
        self.folder = folder
        self.table = table
        self.source = source
        self.size = size
        self.mask_size = mask_size
        self.names = {category: dict(found.labels.names[category]) for category in found.categories}
        self.categories = found.categories
        self.unlabelled = 0
        self.ignored = np.zeros(2**16, np.bool_)
        self.ignored[[number for number in ignored if 0 <= number < 2**16]] = True
        if table is not None:
            first = first_free(found.labels)
            if first + len(COLOURS) - 1 > MOST:
                raise ValueError(f"the labels leave no numbers for colours up to {MOST:,}: set colours to none")
            self.first_colour = first
            self.names["color"] = {first + place: f"{name}-c" for place, name in enumerate(COLOURS)}
            # Broden's order, of which color is the first.
            self.categories = (CATEGORIES[0], *found.categories)
        self.counts = {(category, number): [0, 0] for category in self.names for number in self.names[category]}
        self.rows: list[list[object]] = []
        self.written: dict[str, str] = {}

    def write(self, one: Source) -> None:
        """Write an image and its masks."""
        name = f"{self.source}/{one.stem}"
        image = read_rgb(str(one.path), remedy="replace or remove it")
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        self._save(f"{name}.png", one.stem, lambda path: image.save(path))
        masks: dict[str, list[NDArray[np.uint16]]] = {}
        for category, paths in one.masks.items():
            for path in paths:
                mask = read_source_mask(path)
                mask = nearest(np.where(self.ignored[mask], np.uint16(0), mask), self.mask_size, self.mask_size)
                if mask.any():
                    masks.setdefault(category, []).append(mask)
        self.unlabelled += not masks and not any(one.numbers.values())
        if self.table is not None:
            # What a mask's pixel covers is averaged: halving means the mean of four pixels.
            small = image.resize((self.mask_size, self.mask_size), Image.Resampling.BOX)
            places = colour_places(np.asarray(small), self.table)
            masks["color"] = [places.astype(np.uint16) + np.uint16(self.first_colour)]
        cells = []
        for category in self.categories:
            channels, numbers = masks.get(category, []), one.numbers.get(category, [])
            cells.append(";".join([*map(str, numbers), *self._save_masks(name, one.stem, category, channels)]))
            self._count(category, channels, numbers)
        sides = (self.size, self.size, self.mask_size, self.mask_size)
        self.rows.append([f"{name}.png", split_of(f"{name}.png"), *sides, *cells])

    def finish(self) -> dict[str, int]:
        """Write the tables; return the number of labels by category."""
        pixels = self.mask_size**2
        write_index(self.folder, self.categories, self.rows)
        labels = [
            CountedLabel(number, self.names[category][number], category, frequency, covered / pixels)
            for (category, number), (frequency, covered) in self.counts.items()
        ]
        write_label_tables(self.folder, self.categories, labels)
        return {category: len(self.names[category]) for category in self.categories}

    def _save_masks(self, name: str, stem: str, category: str, channels: list[NDArray[np.uint16]]) -> list[str]:
        """Write the masks of a category; return their paths, named as Broden names them."""
        saved = []
        for number, mask in enumerate(channels, start=1):
            ending = f"_{number}" if len(channels) > 1 else ""
            saved.append(f"{name}_{category}{ending}.png")
            self._save(saved[-1], stem, lambda path, mask=mask: write_mask(path, mask))  # type: ignore[misc]
        return saved

    def _save(self, name: str, stem: str, write: Callable[[Path], None]) -> None:
        if name in self.written:
            raise ValueError(
                f"{self.written[name]} and {stem} would both be written as {name}: rename one of the images"
            )
        self.written[name] = stem
        path = self.folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)

    def _count(self, category: str, channels: list[NDArray[np.uint16]], numbers: list[int]) -> None:
        """Add an image to the frequency and coverage of its labels; a pixel counts once, whatever the channels."""
        for number in numbers:
            self.counts[category, number][0] += 1
            self.counts[category, number][1] += self.mask_size**2
        masks = np.array(channels)
        for number in np.unique(masks).tolist() if channels else ():
            if number and number not in numbers:
                self.counts[category, number][0] += 1
                self.counts[category, number][1] += int((masks == number).any(0).sum())
