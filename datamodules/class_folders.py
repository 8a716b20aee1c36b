"""Image files sorted into one folder per class."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageFiles(NamedTuple):
    """The image files under a folder, in the sorted order of their paths."""

    folder: str
    """Folder that holds the class folders."""
    paths: NDArray[np.bytes_]
    """Path of each file relative to the folder, encoded as the file system does; compact, for a million files."""
    labels: Tensor
    """Class of each file, int64 ``(N,)``."""

    def path(self, place: int) -> str:
        """Return the path of one file."""
        return os.path.join(self.folder, os.fsdecode(bytes(self.paths[place])))

    def name(self, place: int) -> str:
        """Return what a message calls one file: its path."""
        return self.path(place)

    def source(self, place: int) -> str:
        """Return where one file is decoded from: its path."""
        return self.path(place)

    def key(self, place: int) -> bytes:
        """Return the path of one file relative to the folder."""
        return bytes(self.paths[place])

    def size(self, place: int) -> int:
        """Return the size of one file in bytes."""
        return os.path.getsize(self.path(place))


class Classes(NamedTuple):
    """The classes of a data set, by number."""

    folders: tuple[str, ...]
    """Name of each class's folder: for ImageNet its synset."""
    names: tuple[str, ...]
    """Name to show; the folder's where no other is known."""


def class_folders(folder: Path) -> list[str]:
    """Return the sorted names of the folders in a folder, hidden ones left out.

    Raises:
        FileNotFoundError: If the folder is missing.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing or no folder: set root to the folder that holds the images")
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def read_classes(path: Path) -> Classes:
    """Return the classes that a file lists: their order gives the numbers.

    The file is text with one class a line, its folder and then, if wanted, its name; or JSON such as
    ``{"0": ["n01440764", "tench"], ...}``.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it lists no class, or one twice, or JSON of another form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} (classes) is missing: give an existing file, or null for sorted folder names")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        try:
            content = json.loads(text)
            entries = [(str(content[str(number)][0]), str(content[str(number)][1])) for number in range(len(content))]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f'{path} (classes) must be JSON such as {{"0": ["n01440764", "tench"]}}, numbered from 0: {reason}'
            ) from error
    else:
        lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
        entries = [(line[0], line[-1].strip()) for line in lines]
    folders = tuple(folder for folder, _ in entries)
    if not folders:
        raise ValueError(f"{path} (classes) lists no class: give one folder name a line")
    if len(set(folders)) != len(folders):
        repeated = next(folder for folder in folders if folders.count(folder) > 1)
        raise ValueError(f"{path} (classes) lists {repeated} more than once: list each class once")
    return Classes(folders, tuple(name for _, name in entries))


def scan(folder: Path, classes: Classes) -> ImageFiles:
    """Return the image files of each class folder under a folder.

    Args:
        folder: Holds one folder per class; not every class needs one.
        classes: All classes, by number.

    Raises:
        FileNotFoundError: If the folder is missing, or it or one of its class folders holds no images.
        ValueError: If it holds a folder of an unknown class.
    """
    found = class_folders(folder)
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no class folders: sort its images into one folder per class, named by synset"
        )
    numbers = {name: number for number, name in enumerate(classes.folders)}
    paths: list[bytes] = []
    labels: list[int] = []
    for name in found:
        if name not in numbers:
            raise ValueError(
                f"{folder / name} is no known class (the {len(numbers)} known ones begin with {classes.folders[0]}):"
                " remove the folder, or list it in the classes file"
            )
        with os.scandir(folder / name) as entries:
            files = sorted(entry.name for entry in entries if entry.name.lower().endswith(EXTENSIONS))
        if not files:
            raise FileNotFoundError(f"{folder / name} holds no images ({' '.join(EXTENSIONS)}): fill or remove it")
        paths += [os.fsencode(f"{name}/{file}") for file in files]
        labels += [numbers[name]] * len(files)
    return ImageFiles(str(folder), np.array(paths), torch.tensor(labels))
