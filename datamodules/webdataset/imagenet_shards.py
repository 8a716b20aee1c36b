"""ImageNet, and any other classified images, in shards of the WebDataset format."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.base import SplitName
from datamodules.class_folders import Classes, read_classes
from datamodules.stored_image_data import StoredImageData
from datamodules.webdataset.sharded_images import ShardedImages, expand, read_shards, with_classes_of_keys

CLASSES_FILE = "classes.txt"


class ImageNetShards(StoredImageData):
    """Images in local WebDataset shards: plain tar files whose samples hold an image (jpg, jpeg, png) and a class.

    A sample's class is the number in its ``cls``, else in its ``json`` (by itself, or as ``label``), else the folder
    of a known class with which its key begins. Each shard is read through once; an index beside it then gives the
    place of each image, so that any image is read by itself: shuffling is a permutation of all images, as it is with
    folders, and not of a buffer, and nothing depends on how shards fall to processes or workers. An image's index is
    its place in the sorted shards and their own order, apart for ``train`` and ``test``.

    Validation images are held out of the training shards. The test order is that of the shards, which is the order in
    which a disk reads fastest; ``python -m datamodules.webdataset pack`` writes them in a random one, so that any
    beginning of an evaluation is a fair sample. docs/imagenet.md tells more.

    Args:
        train: Shards to train on: a path, a pattern with braces (``train-{000000..001281}.tar``), or a list of these.
            Null: there is nothing to train on.
        test: Shards to test on, likewise.
        settings: Those of :class:`~datamodules.stored_image_data.StoredImageData`. Null ``classes`` takes
            ``classes.txt`` beside the first shard, if there; else classes are named by their numbers, as many as the
            highest of all shards asks for.

    Raises:
        ValueError: If a setting is out of range; at ``setup``, if a shard is damaged or a sample is of no use.
        FileNotFoundError: When a split is asked for, and a shard is missing.
    """

    def __init__(
        self, train: str | list[str] | None = None, test: str | list[str] | None = None, **settings: Any
    ) -> None:
        super().__init__(**settings)
        if not train and not test:
            raise ValueError(
                "neither train nor test is given: name the shards of at least one, data/train-{000..146}.tar"
            )
        self.shards = {"train": train, "test": test}
        self._labelled: dict[str, ShardedImages] = {}

    @cached_property
    def classes(self) -> Classes:
        """The classes, by number: those of the classes file, else numbers."""
        listed = self._listed_classes
        if listed is not None:
            return listed
        highest = max(int(self.files(part).labels.max()) for part in ("train", "test") if self.shards[part])
        numbers = tuple(str(number) for number in range(highest + 1))
        return Classes(numbers, numbers)

    def files(self, name: SplitName) -> ShardedImages:
        """Return the samples among which a split's images are, found at the first call."""
        part = self._part(name)
        if part not in self._labelled:
            self._labelled[part] = with_classes_of_keys(read_shards(self._given(name)), self._listed_classes)
        return self._labelled[part]

    def where(self, name: SplitName) -> str:
        """Return the setting that names a split's shards."""
        return f"the setting {self._part(name)}"

    def test_order(self, count: int) -> Tensor:
        """Return the order of the shards."""
        return torch.arange(count)

    @cached_property
    def _listed_classes(self) -> Classes | None:
        if self.classes_file is not None:
            return read_classes(Path(self.classes_file))
        given = self.shards["train"] or self.shards["test"]
        beside = Path(expand(given)[0]).with_name(CLASSES_FILE) if given else None
        return read_classes(beside) if beside is not None and beside.is_file() else None

    def _given(self, name: SplitName) -> str | list[str]:
        given = self.shards[self._part(name)]
        if not given:
            raise FileNotFoundError(f"there are no shards for the {name} split: set {self._part(name)} to their paths")
        return given

    def _part(self, name: SplitName) -> str:
        return "test" if name == "test" else "train"
