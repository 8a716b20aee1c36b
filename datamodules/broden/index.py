"""Broden's index.csv: which images there are, and where the annotation of each one is."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.broden.label_mask import check_header
from datamodules.broden.labels import Labels
from datamodules.broden.table import Row, is_number, read_table
from datamodules.image_preprocessing import BrokenFileError

SPLITS = ("train", "val")


class AnnotatedImages(NamedTuple):
    """``N`` images and where their annotation is, in the order of index.csv; compact, for the worker processes."""

    folder: str
    """Folder that the paths are relative to: ``images``."""
    rows: NDArray[np.int64]
    """Row of each image in index.csv, from 0, ascending, ``(N,)``: its index."""
    images: NDArray[np.bytes_]
    """Path of each image, encoded as the file system does, ``(N,)``."""
    masks: NDArray[np.bytes_]
    """Paths of its label masks by layer, ``(N, L)``; empty where it has none."""
    layers: tuple[str, ...]
    """Category of each layer."""
    labels: Tensor
    """Labels of the whole image, int16 ``(N, M)``, padded with 0."""
    height: int
    """Height of the masks: sh."""
    width: int
    """Width of the masks: sw."""

    @property
    def unlabelled(self) -> NDArray[np.int64]:
        """Rows of the images that neither have a mask nor a label of the whole image."""
        bare = (self.masks == b"").all(1) & (self.labels == 0).all(1).numpy()
        return self.rows[np.flatnonzero(bare)]

    def path(self, relative: bytes) -> str:
        """Return the path of a file that a row names."""
        return os.path.join(self.folder, os.fsdecode(relative))


def read_index(
    root: Path, categories: Sequence[str], labels: Labels, split: str | None, *, look: bool = True
) -> AnnotatedImages:
    """Return the images of a split, or all, with their annotation in these categories.

    Args:
        root: Folder of the data.
        categories: Which categories to read.
        labels: Their labels.
        split: ``train``, ``val``, or None for both.
        look: Look at every file that is named; off where a full check has (:mod:`datamodules.broden.record`).

    Raises:
        FileNotFoundError: If index.csv, an image or a mask is missing.
        ValueError: If index.csv is no such table, masks are of several sizes or no masks, a label of a whole image is
            unknown, or there is nothing to read.
    """
    path = root / "index.csv"
    table = read_table(path, ("image", "split", "sh", "sw", *categories))
    for row in table:
        if row.cells["split"] not in SPLITS:
            raise ValueError(f"{row.where}: split must be train or val, got {row.cells['split']!r}")
    chosen = [(place, row) for place, row in enumerate(table) if split in (None, row.cells["split"])]
    if not chosen:
        raise ValueError(f"{path} lists no images" + (f" of the split {split}: take another, or null" if split else ""))
    height, width = _mask_size(row for _, row in chosen)
    cells = [[_cell(row, category, labels) for category in categories] for _, row in chosen]

    channels = [max(len(row[column].masks) for row in cells) for column in range(len(categories))]
    layers = tuple(category for category, count in zip(categories, channels, strict=True) for _ in range(count))
    masks = [
        [name for cell, count in zip(row, channels, strict=True) for name in (*cell.masks, *(b"",) * count)[:count]]
        for row in cells
    ]
    # A label counts once for an image, whatever the number of categories that state it.
    whole = [list(dict.fromkeys(number for cell in row for number in cell.numbers)) for row in cells]
    most = max(map(len, whole))
    if not layers and not most:
        raise ValueError(
            f"{path}: none of the {len(chosen)} images is labelled in {', '.join(categories)}: choose more categories"
        )
    images = AnnotatedImages(
        str(root / "images"),
        np.array([place for place, _ in chosen], np.int64),
        np.array([os.fsencode(row.cells["image"]) for _, row in chosen]),
        np.array(masks, np.bytes_).reshape(len(chosen), len(layers)),
        layers,
        torch.tensor([numbers + [0] * (most - len(numbers)) for numbers in whole], dtype=torch.int16),
        height,
        width,
    )
    if look:
        _check_files(images, [row.where for _, row in chosen])
    return images


def whole_image_labels(root: Path, categories: Sequence[str], labels: Labels) -> list[list[tuple[str, int]]]:
    """Return category and number of the labels that hold for each image as a whole, by the rows of index.csv.

    Raises:
        FileNotFoundError: If index.csv is missing.
        ValueError: If it is no such table, or a label is unknown.
    """
    return [
        [(category, number) for category in categories for number in _cell(row, category, labels).numbers]
        for row in read_table(root / "index.csv", categories)
    ]


class _Cell(NamedTuple):
    """What a row says in one category, dominant interpretations first."""

    numbers: tuple[int, ...] = ()
    """Labels of the whole image."""
    masks: tuple[bytes, ...] = ()
    """Paths of label masks."""


# Most cells are empty: one for all of them.
_EMPTY = _Cell()


def _cell(row: Row, category: str, labels: Labels) -> _Cell:
    content = row.cells[category]
    if not content:
        return _EMPTY
    numbers, masks = [], []
    for token in content.split(";"):
        if not token:
            raise ValueError(f"{row.where}: {category} has an empty entry in {content!r}: separate entries by one ';'")
        if not is_number(token):
            masks.append(os.fsencode(token))
        elif int(token) in labels.numbers[category]:
            numbers.append(int(token))
        elif int(token):  # 0 is unlabelled: Broden writes it for a scene that is too rare for a number
            raise ValueError(
                f"{row.where}: {category} has the label {token}, which c_{category}.csv does not list:"
                " correct the row, or complete the tables"
            )
    return _Cell(tuple(numbers), tuple(masks))


def _mask_size(rows: Iterable[Row]) -> tuple[int, int]:
    """Return the one size that all masks have."""
    first: tuple[str, tuple[int, int]] | None = None
    for row in rows:
        size = row.number("sh"), row.number("sw")
        if not all(size):
            raise ValueError(f"{row.where}: sh and sw must be at least 1, got {size[0]} and {size[1]}")
        if first is None:
            first = row.where, size
        elif size != first[1]:
            raise ValueError(
                f"{row.where}: sh x sw is {size[0]} x {size[1]}, but {first[1][0]} x {first[1][1]} in an earlier row:"
                " batches need masks of one size; scale them, or split the data"
            )
    assert first is not None
    return first[1]


def _check_files(images: AnnotatedImages, where: list[str]) -> None:
    """Refuse files that are missing, and masks that are none, before anything is computed on the others."""
    for row, image, masks in zip(where, images.images, images.masks, strict=True):
        path = images.path(image)
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{row}: {path} is missing: complete the data, or remove the row")
        try:
            for mask in masks:
                if mask:
                    check_header(images.path(mask), images.height, images.width)
        except (FileNotFoundError, BrokenFileError) as error:
            raise type(error)(f"{row}: {error}") from None
