"""Image files in one folder, without class folders: their classes come from a list."""

import os
from pathlib import Path

import numpy as np
import torch

from datamodules.class_folders import EXTENSIONS, Classes, ImageFiles, class_folders
from datamodules.devkit import read_devkit


def is_flat(folder: Path) -> bool:
    """Return whether a folder holds images and no class folders."""
    return folder.is_dir() and not class_folders(folder) and bool(_image_files(folder))


def scan_flat(folder: Path, labels: Path, classes: Classes | None) -> ImageFiles:
    """Return the image files in a folder with the classes that a list gives them.

    The list (``labels``) is a text file with one class number a line, from 0, in the sorted order of the files
    (``ILSVRC2012_val_labels_0based.txt``); or one with a file's name and its class on each line, as a number or as a
    folder's name (synset), in any order; or the unpacked folder of the development kit.

    Args:
        folder: Holds the files; others than images are left out.
        labels: The list.
        classes: All classes, by number; None where they are not known, then any number from 0 will do.

    Raises:
        FileNotFoundError: If the list is missing.
        ValueError: If the list does not fit the files or the classes; names the line.
    """
    files = _image_files(folder)
    if labels.is_dir():
        given = list(read_devkit(labels).validation)
        _require_count(labels, given, folder, files)
    else:
        given = _listed(labels, folder, files)
    numbers = {name: number for number, name in enumerate(classes.folders)} if classes is not None else {}
    found = []
    for file, label in zip(files, given, strict=True):
        number = int(label) if label.isdecimal() else numbers.get(label, -1)
        if number < 0 or (classes is not None and number >= len(numbers)):
            known = "numbers from 0" if classes is None else f"0 ... {len(numbers) - 1} or a class folder's name"
            raise ValueError(f"{labels} gives {file} the class {label!r}, which is not known: allowed are {known}")
        found.append(number)
    return ImageFiles(str(folder), np.array([os.fsencode(file) for file in files]), torch.tensor(found))


def listed_classes(labels: Path) -> Classes | None:
    """Return the classes that a list of labels implies: the devkit's, or its sorted names; None for plain numbers.

    Plain numbers leave open how many classes there are.
    """
    if labels.is_dir():
        return read_devkit(labels).classes
    names = sorted({line.rsplit(maxsplit=1)[-1] for line in _lines(labels)})
    if any(name.isdecimal() for name in names):
        return None
    return Classes(tuple(names), tuple(names))


def _listed(labels: Path, folder: Path, files: list[str]) -> list[str]:
    lines = _lines(labels)
    if all(len(line.split()) == 1 for line in lines):
        _require_count(labels, lines, folder, files)
        return lines
    by_file: dict[str, str] = {}
    for row, line in enumerate(lines, 1):
        words = line.rsplit(maxsplit=1)
        if len(words) != 2:
            raise ValueError(f'{labels}, line {row}: {line!r} must be "FILE CLASS", or every line one class number')
        if words[0] in by_file:
            raise ValueError(f"{labels}, line {row}: {words[0]} is listed before: list each file once")
        by_file[words[0]] = words[1]
    missing = [file for file in files if file not in by_file]
    if missing:
        raise ValueError(
            f"{labels} lists no class of {len(missing)} of the {len(files)} images in {folder}, the first of them"
            f" {missing[0]}: complete the list, or remove the images"
        )
    return [by_file[file] for file in files]


def _require_count(labels: Path, given: list[str], folder: Path, files: list[str]) -> None:
    if len(given) != len(files):
        raise ValueError(
            f"{labels} gives {len(given)} labels for {len(files)} images in {folder}: both must be complete, or list"
            ' "FILE CLASS" a line'
        )


def _lines(labels: Path) -> list[str]:
    if not labels.is_file():
        raise FileNotFoundError(f"{labels} (labels) is missing: give an existing file, or the devkit's folder")
    lines = [line.strip() for line in labels.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f'{labels} (labels) is empty: give one class number or "FILE CLASS" a line')
    return lines


def _image_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(EXTENSIONS) and not entry.name.startswith(".")
        )
