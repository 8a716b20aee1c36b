"""A user's own images and masks, found and looked at before anything of them is written."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from datamodules.broden.source_labels import SourceLabels, read_image_labels, read_source_labels
from datamodules.broden.source_masks import matched, read_source_mask
from datamodules.image_preprocessing import BrokenFileError

CATEGORIES = ("color", "object", "part", "material", "scene", "texture")
"""Broden's own, in its order; others come after them, by name."""

_ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_COLUMNS = frozenset({"image", "split", "ih", "iw", "sh", "sw"})


class Source(NamedTuple):
    """An image and its annotation."""

    stem: str
    """Path below the folder of images, without its ending."""
    path: Path
    masks: dict[str, list[Path]]
    """Masks by category, one per channel."""
    numbers: dict[str, list[int]]
    """Labels of the whole image by category, the dominant one first."""


class Sources(NamedTuple):
    """All images, in the order of their stems, and the labels that they have."""

    sources: tuple[Source, ...]
    labels: SourceLabels
    categories: tuple[str, ...]
    """Those that have a label, in Broden's order."""
    unlabelled: tuple[Path, ...]
    """Images that no mask and no table gives a label."""


def find_sources(
    images: Path,
    masks: Path | None,
    labels: Path | None,
    image_labels: Path | None,
    ignore: Iterable[int] = (),
    progress: Callable[[int, int], object] | None = None,
) -> Sources:
    """Return a user's images with their masks and labels; every mask is read, so that no fault comes late.

    Args:
        images: Folder of the images, at any depth.
        masks: Folder with one folder of masks per category; None where there are whole images' labels alone.
        labels: Table of the labels; None takes every number that masks hold.
        image_labels: Table of the labels that hold for whole images.
        ignore: Numbers in masks that stand for unlabelled pixels, besides 0.
        progress: Called with the number of images whose masks are read, and of all.

    Raises:
        FileNotFoundError: If a folder or a table is missing.
        ValueError: If a file is broken or belongs to nothing, a mask is of another size than its image, or has an
            unknown label; names it in one line.
    """
    if masks is None and image_labels is None:
        raise ValueError(
            "there is nothing to label the images with: name a folder of masks, or a table of image labels"
        )
    paths = _find_images(images, masks)
    known = read_source_labels(labels)
    found = _find_masks(masks, frozenset(paths)) if masks is not None else {}
    ignored = frozenset((0, *ignore))
    labelled = set()
    for count, (stem, path) in enumerate(paths.items(), start=1):
        for category, members in found.items():
            for mask in members.get(stem, ()):
                if _look(mask, path, category, known, ignored):
                    labelled.add(stem)
        if progress is not None:
            progress(count, len(paths))
    # After the masks, whose numbers are given, so that names without a number get one that is free.
    stems = {path.relative_to(images).as_posix(): stem for stem, path in paths.items()}
    whole = read_image_labels(image_labels, stems, known) if image_labels is not None else {}
    labelled |= {stem for stem, numbers in whole.items() if any(numbers.values())}
    categories = {*found, *known.names, *(category for numbers in whole.values() for category in numbers)}
    for category in categories:
        _check_name(category)
    if not known.names:
        raise ValueError(f"{masks or image_labels} holds no label: every number is 0 or ignored")
    ordered = sorted(
        (category for category in categories if known.names.get(category)),
        key=lambda name: (CATEGORIES.index(name) if name in CATEGORIES else len(CATEGORIES), name),
    )
    return Sources(
        tuple(
            Source(
                stem,
                path,
                {category: members[stem] for category, members in found.items() if stem in members},
                whole.get(stem, {}),
            )
            for stem, path in paths.items()
        ),
        known,
        tuple(ordered),
        tuple(path for stem, path in paths.items() if stem not in labelled),
    )


def _find_images(folder: Path, masks: Path | None) -> dict[str, Path]:
    """Return the images in a folder by their stems, in order."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: name the one of the images")
    if masks is not None and masks.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{masks} lies in {folder}, so that masks would pass for images: move one of the folders")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.suffix.lower() not in _ENDINGS or path.is_dir() or any(p.startswith(".") for p in relative.parts):
            continue
        stem = relative.with_suffix("").as_posix()
        if stem in found:
            raise ValueError(f"{path} and {found[stem].name} have one name but for the ending: rename one of them")
        if ";" in stem:
            raise ValueError(f"{path} has a ';' in its name, which separates entries in index.csv: rename it")
        found[stem] = path
    if not found:
        raise FileNotFoundError(f"{folder} holds no images ({', '.join(sorted(_ENDINGS))}): name another folder")
    return found


def _find_masks(folder: Path, stems: frozenset[str]) -> dict[str, dict[str, list[Path]]]:
    """Return the masks by category and the stem of their image."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: name one that holds a folder of masks per category")
    categories = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    stray = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() == ".png"]
    if not categories or stray:
        at_fault = f"{stray[0]} lies in no folder of a category" if stray else f"{folder} holds no folder of masks"
        raise ValueError(f"{at_fault}: put masks into a folder per category, as {folder.name}/object/NAME.png")
    for category in categories:
        _check_name(category.name)
    return {category.name: matched(category, stems) for category in categories}


def _check_name(category: str) -> None:
    if category in _COLUMNS or not re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", category):
        raise ValueError(
            f"{category!r} is no name of a category: use letters, digits, _ and -, and none of"
            f" {', '.join(sorted(_COLUMNS))}; Broden's are {', '.join(CATEGORIES)}"
        )


def _look(mask: Path, image: Path, category: str, labels: SourceLabels, ignored: frozenset[int]) -> bool:
    """Refuse a mask that does not fit its image, or has a label that is not known; return whether it has one."""
    numbers = read_source_mask(mask)
    try:
        with Image.open(image) as opened:
            width, height = opened.size
    except (OSError, ValueError, SyntaxError) as error:
        reason = " ".join(str(error).split())
        raise BrokenFileError(f"{image} is no readable image ({reason}): replace or remove it") from error
    if numbers.shape != (height, width):
        raise BrokenFileError(
            f"{mask} is {numbers.shape[0]} x {numbers.shape[1]} pixels, but {image.name} is {height} x {width}:"
            " masks must have the size of their image"
        )
    there = [number for number in np.unique(numbers).tolist() if number not in ignored]
    for number in there:
        if refused := labels.add(category, number):
            raise BrokenFileError(f"{mask} has {refused}: complete the table, correct the mask, or --ignore {number}")
    return bool(there)
