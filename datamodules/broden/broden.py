"""Broden as a datamodule: images with pixel-level concepts, and no classes."""

import hashlib
import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from advscope.concepts import Concept
from datamodules.base import ImageDataModule, SplitName
from datamodules.broden.decoder import AnnotatedImageDecoder
from datamodules.broden.index import SPLITS, AnnotatedImages, read_index
from datamodules.broden.labels import Labels, read_categories, read_labels
from datamodules.broden.record import is_checked
from datamodules.decoding_loader import DecodingLoader


class Broden(ImageDataModule):
    """The broadly and densely labelled images of network dissection, or any others in that layout (docs/broden.md).

    There are no classes: labels are -1. Every batch brings ``concepts`` int16 ``(N, L, sh, sw)``, one layer per
    category and channel over the chosen images (:attr:`layers`), at the masks' own resolution, and ``image_concepts``
    int16 ``(N, M)``, the labels that hold for a whole image; 0 is unlabelled. An image's index is its row in index.csv,
    from 0, whatever is chosen of it.

    There is nothing to train either: all stages and splits (``train``, ``val``, ``test``) give the same chosen images,
    and ``split`` chooses among Broden's own. A training loader shuffles them and augments nothing. ``setup`` reads the
    tables, and looks at every file that they name, before the first image is decoded; where ``python -m
    datamodules.broden check`` has read all files, it only makes sure that they are the same (docs/broden.md). How many
    images have no label in the categories read is said in a warning.

    Args:
        root: Folder of the data, which holds index.csv, category.csv, label.csv, c_*.csv and ``images``.
        categories: Which categories to read (color, object, part, material, scene, texture in Broden); null for all.
            Their order is that of category.csv.
        split: Which of Broden's splits to take the images of: ``train``, ``val``, or null for both.
        size: Side to which images are scaled (bilinear, antialiased), in pixels; those of that size keep their pixels.
        batch_size: Images per batch and process in a training loader.
        eval_batch_size: Images per batch and process elsewhere.
        seed: Seed of the shuffling.
        num_workers: Processes that decode, per loader; 0 decodes in the process that asks.
        start_method: How they start: ``fork``, ``spawn`` or ``forkserver``; null is Python's default.

    Raises:
        ValueError: If a setting is out of range; when the data are read, if a table or a mask is broken or contradicts
            another, or a category does not exist; when an image is decoded, if it cannot be.
        FileNotFoundError: When the data are read, if a table, an image or a mask is missing.

    References:
        Bau et al., *Network Dissection: Quantifying Interpretability of Deep Visual Representations*, CVPR 2017,
        section 2.1. https://arxiv.org/abs/1704.05796
    """

    class_names = ()

    def __init__(
        self,
        root: str = "data/broden1_224",
        categories: Sequence[str] | None = None,
        split: Literal["train", "val"] | None = None,
        size: int = 224,
        batch_size: int = 64,
        eval_batch_size: int = 64,
        seed: int = 0,
        num_workers: int = 0,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed)
        if split is not None and split not in SPLITS:
            raise ValueError(f"split must be train, val or null for both, got {split!r}")
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        if num_workers < 0:
            raise ValueError(f"num_workers must not be negative, got {num_workers}")
        self.root = Path(root)
        self.wanted = categories
        self.chosen_split = split
        self.size = size
        self.num_workers = num_workers
        self.start_method = start_method

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories that are read, in the order of category.csv."""
        return read_categories(self.root, self.wanted)

    @cached_property
    def labels(self) -> Labels:
        """The labels of these categories."""
        return read_labels(self.root, self.categories)

    @cached_property
    def images(self) -> AnnotatedImages:
        """The chosen images, and where their annotation is; read at the first call.

        Every file is looked at then, unless a full check has read them all and none has changed since.
        """
        look = not is_checked(self.root)
        images = read_index(self.root, self.categories, self.labels, self.chosen_split, look=look)
        if unlabelled := len(images.unlabelled):
            warnings.warn(
                f"{self.root}: {unlabelled:,} of {len(images.rows):,} images have no label in"
                f" {', '.join(self.categories)}; they are kept, and count for the thresholds of units",
                stacklevel=2,
            )
        return images

    @property
    def concepts(self) -> tuple[Concept, ...]:  # type: ignore[override]
        """Every label that the categories read have, by number: of several categories the one it covers most of."""
        return self.labels.concepts

    @property
    def layers(self) -> tuple[str, ...]:
        """Category of each layer of a batch's ``concepts``."""
        return self.images.layers

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.size, self.size

    def split_indices(self, name: SplitName) -> Tensor:
        """Return the rows in index.csv of the chosen images, ascending, int64 ``(N,)``; the same for all splits."""
        return torch.from_numpy(self.images.rows)

    def classes_of(self, name: SplitName) -> Tensor:
        """Return -1 for each image, int64 ``(N,)``: Broden's images have no class."""
        return torch.full((len(self.images.rows),), -1)

    def checksum(self, name: SplitName) -> str:
        """Return the sha256 over all labels' names, and over what each chosen row says and its files' sizes.

        The pixels do not enter it: reading all of Broden would take minutes.
        """
        images, digest = self.images, hashlib.sha256()
        digest.update(repr((images.layers, images.height, images.width)).encode())
        for concept in self.concepts:
            digest.update(repr(tuple(concept)).encode())
        for row, image, masks, labels in zip(
            images.rows.tolist(), images.images, images.masks, images.labels.tolist(), strict=True
        ):
            files = [(bytes(path), os.path.getsize(images.path(path)) if path else 0) for path in (image, *masks)]
            digest.update(repr((row, files, labels)).encode())
        return digest.hexdigest()

    def loader(self, name: SplitName, *, training: bool) -> DecodingLoader:
        """Return a loader of the chosen images: shuffled for training, else in the order of index.csv."""
        return DecodingLoader(
            self,
            self.split_indices(name),
            AnnotatedImageDecoder(self.images, self.labels, self.size),
            training=training,
            num_workers=self.num_workers,
            start_method=self.start_method,
        )
