"""Data that fit into memory: decoded once, batches and augmentation vectorised, no worker processes."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from advscope.batch import Batch
from datamodules.augmentation import Augmentation, ready
from datamodules.base import BatchLoader, ImageDataModule, SplitName


class Split(NamedTuple):
    """The images of a split, decoded."""

    images: Tensor
    """uint8 ``(N, C, H, W)``."""
    labels: Tensor
    """Classes, int64 ``(N,)``; -1 where an image has no class."""
    indices: Tensor
    """Place of each image in the data set, int64 ``(N,)``."""
    concepts: Tensor | None = None
    """Pixel-level label numbers, int16 ``(N, L, h, w)``, 0 = unlabelled."""
    image_concepts: Tensor | None = None
    """Labels of the whole image, int16 ``(N, M)``, padded with 0."""


class InMemoryDataModule(ImageDataModule):
    """Image data whose splits are held decoded in memory; a subclass says how a split is loaded.

    Args:
        batch_size: Training images per batch and process.
        eval_batch_size: Images per batch and process in validation and test.
        seed: Seed of shuffling and augmentation.
        augmentation: What changes the training images in each epoch; null leaves them as they are.
    """

    def __init__(
        self,
        batch_size: int = 128,
        eval_batch_size: int = 256,
        seed: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed)
        self.augmentation = ready(augmentation)
        self._splits: dict[SplitName, Split] = {}
        self._checksums: dict[SplitName, str] = {}

    @abstractmethod
    def load(self, split: SplitName) -> Split:
        """Return the images of a split, decoded; called once per split and process."""

    def split(self, name: SplitName) -> Split:
        """Return the images of a split, from memory after the first call.

        Raises:
            ValueError: If what :meth:`load` gives is no :class:`Split` of this number of classes.
        """
        if name not in self._splits:
            split = self.load(name)
            _check(split, name, self.num_classes)
            self._splits[name] = split
        return self._splits[name]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels: those of a split that is read already, else of the test split."""
        split = next(iter(self._splits.values()), None) or self.split("test")
        height, width = split.images.shape[-2:]
        return height, width

    def split_indices(self, name: SplitName) -> Tensor:
        """Return the places in the data set of a split's images, in the split's fixed order, int64 ``(N,)``."""
        return self.split(name).indices

    def labels(self, name: SplitName) -> Tensor:
        """Return the class of each image of a split, in the split's order, int64 ``(N,)``; -1 where it has none."""
        return self.split(name).labels

    def checksum(self, name: SplitName) -> str:
        """Return the sha256 over pixels, labels, indices and concepts of a split, in hexadecimal."""
        if name not in self._checksums:
            digest = hashlib.sha256()
            for tensor in self.split(name):
                if tensor is not None:
                    digest.update(tensor.contiguous().numpy().data)
            self._checksums[name] = digest.hexdigest()
        return self._checksums[name]

    def loader(self, name: SplitName, *, training: bool) -> "InMemoryLoader":
        """Return a loader of a split: shuffled and augmented for training, else in the fixed order, as it is."""
        return InMemoryLoader(self, self.split(name), training=training)


class InMemoryLoader(BatchLoader):
    """Batches of a decoded split, made by tensor operations in the process that asks for them.

    Args:
        data: Whose split it is; asked for epoch, process, seed, batch sizes and augmentation.
        split: The images.
        training: Shuffle and augment, and leave the incomplete last batch out; else every image once, in order.
    """

    def __init__(self, data: InMemoryDataModule, split: Split, *, training: bool) -> None:
        super().__init__(data, len(split.labels), training=training)
        self.split = split
        self.augmentation = data.augmentation if training else None

    def fetch(self, batches: tuple[Tensor, ...], epoch: int) -> Iterator[Batch]:
        """Yield the batches that are at these places of the split."""
        for places in batches:
            images, labels, indices = (tensor.index_select(0, places) for tensor in self.split[:3])
            concepts, image_concepts = (
                None if tensor is None else tensor.index_select(0, places) for tensor in self.split[3:]
            )
            if self.augmentation is not None:
                images, concepts = self.augmentation(
                    images, indices, seed=self.data.seed, epoch=epoch, concepts=concepts
                )
            yield Batch(as_network_input(images), labels, indices, concepts, image_concepts)


def as_network_input(images: Tensor) -> Tensor:
    """Return uint8 images ``(N, C, H, W)`` as float32 in [0, 1], in channels_last memory format.

    Example:
        >>> as_network_input(torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)).flatten()
        tensor([0.0000, 0.2000, 1.0000])
    """
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def _check(split: Split, name: SplitName, num_classes: int) -> None:
    """Refuse a split whose tensors do not fit each other, or whose labels are no classes."""
    count = len(split.images)
    if count == 0:
        raise ValueError(f"the {name} split holds no images: give more images, or another size of the splits")
    if split.images.dtype != torch.uint8 or split.images.ndim != 4:
        given = f"{split.images.dtype} {tuple(split.images.shape)}"
        raise ValueError(f"images of the {name} split must be uint8 (N, C, H, W), got {given}")
    for kind, dtype in (("labels", torch.int64), ("indices", torch.int64)):
        tensor = getattr(split, kind)
        if tensor.shape != (count,) or tensor.dtype != dtype:
            raise ValueError(
                f"{kind} of the {name} split must be int64 ({count},), got {tensor.dtype} {tuple(tensor.shape)}"
            )
    for kind, dimensions in (("concepts", 4), ("image_concepts", 2)):
        tensor = getattr(split, kind)
        if tensor is not None and (len(tensor) != count or tensor.ndim != dimensions or tensor.dtype != torch.int16):
            raise ValueError(
                f"{kind} of the {name} split must be int16 with {dimensions} dimensions for {count} images,"
                f" got {tensor.dtype} {tuple(tensor.shape)}"
            )
    if split.labels.min() < -1 or split.labels.max() >= num_classes:
        wrong = int(((split.labels < -1) | (split.labels >= num_classes)).nonzero()[0])
        raise ValueError(
            f"label {int(split.labels[wrong])} of image {int(split.indices[wrong])} in the {name} split is outside"
            f" 0 ... {num_classes - 1} (-1 where there is no class)"
        )
    if len(split.indices.unique()) != count:
        raise ValueError(f"indices of the {name} split repeat: each image needs its own place in the data set")
