"""ImageNet, and any other images sorted into one folder per class."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from datamodules.base import ImageDataModule, SplitName, hold_out
from datamodules.class_folders import Classes, ImageFiles, class_folders, read_classes, scan
from datamodules.decoding_loader import DecodingLoader
from datamodules.image_file_decoder import ImageFileDecoder, Preprocessing


class ImageNet(ImageDataModule):
    """ILSVRC2012 in folders (``train/`` and ``val/``, one folder per synset), or any images in such folders.

    Training images are cropped at random (Inception's crop) and mirrored every other time, as a function of (seed,
    epoch, index); the others are scaled and cropped at the centre, as torchvision does it on PIL images. Validation
    images are held out of ``train/``; the test set is ``val/``. A root without these two folders holds the class
    folders itself: it is all test set, and cannot be trained on. An image's index is its place in the sorted order of
    the files under ``train/`` (``train`` and ``val``) or under ``val/`` (``test``).

    Args:
        root: Folder of the data.
        batch_size: Training images per batch and process.
        eval_batch_size: Images per batch and process in validation and test.
        seed: Seed of shuffling and augmentation.
        size: Side of the images that the network sees, in pixels: 224, or 299 for Inception-v3.
        resize: Short side to which evaluation scales an image before it takes the centre; null is 8/7 of ``size`` (256
            for 224, 342 for 299).
        interpolation: How images are scaled, always with antialiasing.
        min_crop_area: Smallest share of a training image's area that a random crop covers.
        validation_images: How many training images are held out; null is a tenth. They are the last of a permutation
            that is the same for every seed.
        classes: File that numbers the classes: one folder name a line, in order, with a name to show after it if
            wanted; or ``imagenet_class_index.json``. Null numbers the sorted folder names, which for all 1,000 synsets
            is the official order.
        num_workers: Processes that decode, per loader; 0 decodes in the process that trains.
        start_method: How they start: ``fork``, ``spawn`` or ``forkserver``; null is Python's default.

    Raises:
        ValueError: If a setting is out of range.
        FileNotFoundError: When a split is asked for, and its folder is missing or holds no images.
    """

    def __init__(
        self,
        root: str = "data/imagenet",
        batch_size: int = 128,
        eval_batch_size: int = 256,
        seed: int = 0,
        size: int = 224,
        resize: int | None = None,
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        min_crop_area: float = 0.08,
        validation_images: int | None = None,
        classes: str | None = None,
        num_workers: int = 0,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed)
        resize = round(size * 8 / 7) if resize is None else resize
        if not 1 <= size <= resize:
            raise ValueError(f"size must be in 1 ... resize ({resize}), got {size}")
        if not 0 < min_crop_area <= 1:
            raise ValueError(f"min_crop_area must be in (0, 1], got {min_crop_area}")
        if interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation must be bilinear or bicubic, got {interpolation}")
        if num_workers < 0:
            raise ValueError(f"num_workers must not be negative, got {num_workers}")
        self.root = Path(root)
        self.preprocessing = Preprocessing(size, resize, interpolation, min_crop_area)
        self.validation_images = validation_images
        self.classes_file = classes
        self.num_workers = num_workers
        self.start_method = start_method
        self._files: dict[Path, ImageFiles] = {}
        self._places: dict[SplitName, Tensor] = {}

    @cached_property
    def classes(self) -> Classes:
        """The classes, by number: those of the classes file, else the sorted folder names."""
        if self.classes_file is not None:
            return read_classes(Path(self.classes_file))
        train, test = self.root / "train", self._test_folder()
        folders = tuple(class_folders(train if train.is_dir() else test))
        return Classes(folders, folders)

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the classes, by number."""
        return self.classes.names

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that a network is given, in pixels."""
        return self.preprocessing.size, self.preprocessing.size

    def files(self, name: SplitName) -> ImageFiles:
        """Return the files among which a split's images are, read from the folders at the first call."""
        folder = self._test_folder() if name == "test" else self.root / "train"
        if name != "test" and not folder.is_dir():
            class_folders(self.root)  # a missing root is said first
            raise FileNotFoundError(
                f"{folder} is missing: training needs a root with train/ and val/; {self.root} can only be tested on"
            )
        if folder not in self._files:
            self._files[folder] = scan(folder, self.classes)
        return self._files[folder]

    def split_indices(self, name: SplitName) -> Tensor:
        """Return the places among the sorted files of a split's images, in the split's order, int64 ``(N,)``."""
        if name not in self._places:
            count = len(self.files(name).labels)
            if name == "test":
                self._places[name] = torch.arange(count)
            else:
                self._places[name] = hold_out(count, self.validation_images)[name == "val"]
        return self._places[name]

    def classes_of(self, name: SplitName) -> Tensor:
        """Return the class of each image of a split, in the split's order, int64 ``(N,)``."""
        return self.files(name).labels[self.split_indices(name)]

    def checksum(self, name: SplitName) -> str:
        """Return the sha256 over the relative paths, sizes in bytes and labels of a split's files, in hexadecimal.

        The pixels do not enter it: reading all of ImageNet would take an hour.
        """
        files, digest = self.files(name), hashlib.sha256()
        for place in self.split_indices(name).tolist():
            size = os.path.getsize(files.path(place))
            digest.update(bytes(files.paths[place]) + f"\0{size}\0{int(files.labels[place])}\n".encode())
        return digest.hexdigest()

    def loader(self, name: SplitName, *, training: bool) -> DecodingLoader:
        """Return a loader of a split: shuffled and augmented for training, else in the fixed order."""
        return DecodingLoader(
            self,
            self.split_indices(name),
            ImageFileDecoder(self.files(name), self.preprocessing, self.seed, training),
            training=training,
            num_workers=self.num_workers,
            start_method=self.start_method,
        )

    def _test_folder(self) -> Path:
        in_parts = (self.root / "train").is_dir() or (self.root / "val").is_dir()
        return self.root / "val" if in_parts else self.root
