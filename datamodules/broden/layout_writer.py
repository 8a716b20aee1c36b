"""Images and their annotation written as files in Broden's layout, and its tables at the end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.broden.colour_names import COLOURS, at_mask_size, colour_places
from datamodules.broden.label_mask import write_mask
from datamodules.broden.source_labels import MOST, first_free
from datamodules.broden.source_masks import nearest, read_source_mask
from datamodules.broden.sources import CATEGORIES, Source, Sources
from datamodules.broden.split_rule import split_of
from datamodules.broden.written_tables import CountedLabel, write_index, write_label_tables
from datamodules.image_preprocessing import read_rgb


class LayoutWriter:
    """Writes images one by one with their masks, counts what they show, and at the end the tables.

    Args:
        folder: Where to write.
        found: All that is to be written, and its labels.
        table: Names of colours by RGB // 8, or None.
        source: Folder of the images under ``images``.
        size: Side of the images, in pixels.
        mask_size: Side of the masks.
        ignored: Numbers in masks that stand for unlabelled pixels, besides 0.

    Attributes:
        unlabelled: Number of images so far without a label but their colours'.

    Raises:
        ValueError: If no numbers are left for the colours.
    """

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
            places = colour_places(at_mask_size(image, self.mask_size, self.mask_size), self.table)
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
