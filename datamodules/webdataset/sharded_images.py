"""The images of several shards as one sequence, each read by its place in its file."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.class_folders import Classes
from datamodules.image_preprocessing import BrokenFileError
from datamodules.webdataset.shard_index import shard_index


class ShardedImages(NamedTuple):
    """The images of all shards: in the sorted order of the shards' paths, and in each shard's own order."""

    shards: tuple[str, ...]
    """Paths of the shards, sorted."""
    starts: NDArray[np.int64]
    """Place of each shard's first sample, and the number of all samples at the end, ``(S + 1,)``."""
    keys: NDArray[np.bytes_]
    """Key of each sample ``(N,)``."""
    offsets: NDArray[np.int64]
    """Where each image begins in its shard ``(N,)``."""
    sizes: NDArray[np.int64]
    """Bytes of each image ``(N,)``."""
    labels: Tensor
    """Class of each sample, int64 ``(N,)``; -1 where it states none."""

    def name(self, place: int) -> str:
        """Return what a message calls one sample: its shard and its key."""
        return f"{self._shard(place)}: {_text(self.keys[place])}"

    def key(self, place: int) -> bytes:
        """Return the name of one sample's shard, and its key."""
        return Path(self._shard(place)).name.encode() + b"/" + bytes(self.keys[place])

    def size(self, place: int) -> int:
        """Return the size of one encoded image in bytes."""
        return int(self.sizes[place])

    def source(self, place: int) -> BytesIO:
        """Return the bytes of one encoded image.

        Raises:
            BrokenFileError: If the shard no longer holds them.
        """
        # Opened for each image: handles kept over forks and pickles, or a thousand at a time, cost more than this.
        try:
            with open(self._shard(place), "rb", buffering=0) as file:
                file.seek(int(self.offsets[place]))
                content = file.read(int(self.sizes[place]))
        except OSError as error:
            raise BrokenFileError(f"{self.name(place)} cannot be read ({error.strerror}): restore the shard") from error
        if content is None or len(content) != self.sizes[place]:
            raise BrokenFileError(
                f"{self.name(place)} is cut off: the shard has changed since it was indexed; start anew"
            )
        return BytesIO(content)

    def _shard(self, place: int) -> str:
        return self.shards[int(np.searchsorted(self.starts, place, side="right")) - 1]


def read_shards(given: str | Sequence[str]) -> ShardedImages:
    """Return the images of shards; each shard is read through once, and its index kept beside it.

    Args:
        given: Paths of local .tar files, or patterns with braces such as ``train-{000..146}.tar``.

    Raises:
        FileNotFoundError: If a shard is missing.
        ValueError: If a shard is given twice, is not local, damaged, or not in the format.
    """
    paths = expand(given)
    indices = [shard_index(Path(path)) for path in paths]
    counts = [len(index.keys) for index in indices]
    return ShardedImages(
        tuple(paths),
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([index.keys for index in indices]),
        np.concatenate([index.offsets for index in indices]),
        np.concatenate([index.sizes for index in indices]),
        torch.from_numpy(np.concatenate([index.labels for index in indices])),
    )


def expand(given: str | Sequence[str]) -> list[str]:
    """Return the sorted paths that patterns with braces stand for.

    Raises:
        ValueError: If there are none, one comes twice, or one is no path of a local .tar file.
    """
    from webdataset.shardlists import expand_urls

    patterns = [given] if isinstance(given, str) else list(given)
    paths = sorted(path for pattern in patterns for path in expand_urls(pattern))
    if not paths:
        raise ValueError("the list of shards is empty: name .tar files, or give null for none")
    for path, following in zip(paths, [*paths[1:], ""], strict=True):
        if "://" in path or path.startswith("pipe:") or not path.endswith(".tar"):
            raise ValueError(
                f"{path} is no local .tar file: shards are read by place, so copy them, uncompressed, first"
            )
        if path == following:
            raise ValueError(f"{path} is given twice: name each shard once")
    return paths


def with_classes_of_keys(images: ShardedImages, classes: Classes | None) -> ShardedImages:
    """Return images whose samples without a class have that of their keys.

    A key states it by its folder (``n01440764/x``), or by what is before the first underscore of its name
    (``n01440764_10026``).

    Raises:
        ValueError: If classes are not known, or a key states none of them, or a number is none of theirs.
    """
    labels, silent = images.labels.clone(), (images.labels < 0).nonzero().flatten().tolist()
    numbers = {} if classes is None else {folder: number for number, folder in enumerate(classes.folders)}
    for place in silent:
        key = _text(images.keys[place])
        folder, _, name = key.rpartition("/")
        stated = (folder.rpartition("/")[2], name.partition("_")[0])
        found = next((numbers[word] for word in stated if word in numbers), None)
        if found is None:
            known = "no classes file says what its key means" if classes is None else "its key begins with no known one"
            raise ValueError(f"{images.name(place)} has no class: there is no cls, no number in json, and {known}")
        labels[place] = found
    if classes is not None and labels.max() >= len(numbers):
        wrong = int(labels.argmax())
        raise ValueError(
            f"{images.name(wrong)} is of class {int(labels[wrong])}, but the classes file numbers 0 ..."
            f" {len(numbers) - 1}: give the one that belongs to the shards"
        )
    return images._replace(labels=labels)


def _text(key: np.bytes_) -> str:
    return bytes(key).decode("utf-8", "surrogateescape")
