"""CIFAR-10 from its official files."""

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import datasets

from datamodules.augmentation import CROP_FLIP, Augmentation
from datamodules.base import SplitName, hold_out
from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.safe_pickle import loads

_FOLDER = "cifar-10-batches-py"
_COLUMNS = 3 * 32 * 32


class CIFAR10(InMemoryDataModule):
    """CIFAR-10: 45,000 images of 32x32 to train on, 5,000 to validate on, and 10,000 to test on.

    Validation is the last tenth of a permutation of the training images that is the same for every seed. An image's
    index is its row in the official order: of the training files for ``train`` and ``val``, of the test file for
    ``test``.

    Args:
        root: Folder that holds ``cifar-10-batches-py``; downloaded there where it is missing.
        batch_size: Training images per batch and process.
        eval_batch_size: Images per batch and process in validation and test.
        seed: Seed of shuffling and augmentation.
        verify: Require the official checksums. Without it, any number of ``data_batch_*`` files with any number of
            rows is read, and a warning says so.
        test_indices: File with the rows of the test file to test on, in that order: text with one number a line, or a
            one-dimensional ``.npy``; null tests on all.
        augmentation: What changes the training images in each epoch; null leaves them as they are.

    Raises:
        FileNotFoundError: When the data are prepared or read and a file is missing.
        ValueError: When they are read and a file is damaged, or holds something else than CIFAR-10.

    References:
        Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009,
        https://www.cs.toronto.edu/~kriz/cifar.html
    """

    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self,
        root: str = "data/cifar10",
        batch_size: int = 128,
        eval_batch_size: int = 256,
        seed: int = 0,
        verify: bool = True,
        test_indices: str | None = None,
        augmentation: Augmentation | None = CROP_FLIP,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed, augmentation)
        self.root = Path(root)
        self.verify = verify
        self.test_indices = test_indices

    @property
    def folder(self) -> Path:
        """Folder of the official files."""
        return self.root / _FOLDER

    def prepare_data(self) -> None:
        """Download the official files, if they are not there."""
        missing = [path for path in self._official() if not path.exists()]
        own_files = not self.verify and any(self.folder.glob("*_batch*"))
        if not missing or own_files:
            return
        try:
            datasets.CIFAR10(str(self.root), download=True)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise FileNotFoundError(
                f"{missing[0]} is missing, and downloading {datasets.CIFAR10.url} failed ({reason}): unpack that"
                f" archive in {self.root}, or set root to the folder that holds {_FOLDER}"
            ) from error

    def load(self, split: SplitName) -> Split:
        """Return the images of a split, decoded from the official files."""
        self._check_classes()
        images, labels = self._rows(test=split == "test")
        if split == "test":
            rows = _listed_rows(Path(self.test_indices), len(labels)) if self.test_indices else np.arange(len(labels))
        else:
            rows = hold_out(len(labels))[split == "val"].numpy()
        return Split(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows]), torch.from_numpy(rows))

    def _official(self) -> dict[Path, str]:
        """Return the official md5 of each official file."""
        official = datasets.CIFAR10
        listed = [*official.train_list, *official.test_list, [official.meta["filename"], official.meta["md5"]]]
        return {self.folder / name: md5 for name, md5 in listed}

    def _rows(self, test: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return all images ``(N, 3, 32, 32)`` and labels ``(N,)`` of the training files or of the test file."""
        if self.verify:
            listed = datasets.CIFAR10.test_list if test else datasets.CIFAR10.train_list
            paths = [self.folder / name for name, _ in listed]
        else:
            found = self.folder.glob("test_batch" if test else "data_batch_*")
            paths = sorted(found, key=lambda path: (int(re.sub(r"\D", "", path.name) or 0), path.name))
            if not paths:
                raise FileNotFoundError(
                    f"{self.folder} holds no {'test_batch' if test else 'data_batch_*'}: put the files there, or set"
                    " root to the folder that holds them"
                )
        parts = [_read_batch(path, self._content(path)) for path in paths]
        images = np.concatenate([images for images, _ in parts])
        if not self.verify:
            names = ", ".join(path.name for path in paths)
            warnings.warn(
                f"{self.folder}: read without verifying checksums, {len(images)} images from {names}; figures compare"
                " with published ones only if these are the official images",
                stacklevel=2,
            )
        return images, np.concatenate([labels for _, labels in parts])

    def _content(self, path: Path) -> bytes:
        """Return the bytes of a file, which has the official checksum unless ``verify`` is off."""
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing: call prepare_data to download it, or set root to the folder that holds {_FOLDER}"
            )
        content = path.read_bytes()
        if self.verify:
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            official = self._official()[path]
            if md5 != official:
                raise ValueError(
                    f"{path} is not the official file (md5 {md5}, official {official}): delete it so that it is"
                    " downloaded again, or set verify to false to read files of your own"
                )
        return content

    def _check_classes(self) -> None:
        """Refuse files whose own list of classes is another one (CIFAR-100, say)."""
        path = self.folder / "batches.meta"
        if not self.verify and not path.exists():
            return
        names = _unpickle(path, self._content(path)).get("label_names")
        if not isinstance(names, list) or [_text(name) for name in names] != list(self.class_names):
            raise ValueError(f"{path} does not name the ten classes of CIFAR-10: set root to the folder of CIFAR-10")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _unpickle(path: Path, content: bytes) -> dict[str, Any]:
    """Return the dictionary of an official file, keyed by text whether Python 2 or 3 wrote it."""
    try:
        batch = loads(content)
    except ValueError as error:
        raise ValueError(f"{path} is {error}; delete it so that it is downloaded again") from error
    if not isinstance(batch, dict):
        raise ValueError(f"{path} holds a {type(batch).__name__}, not a dictionary with data and labels: replace it")
    return {_text(key): value for key, value in batch.items()}


def _read_batch(path: Path, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images ``(N, 3, 32, 32)`` and labels ``(N,)`` of one file."""
    batch = _unpickle(path, content)
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or labels is None:
        raise ValueError(f"{path} lacks data or labels (it has {', '.join(sorted(batch))}): replace it")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _COLUMNS:
        raise ValueError(
            f"{path} holds {data.dtype} rows of shape {data.shape}, expected uint8 (N, {_COLUMNS}): replace it"
        )
    numbers = np.asarray(labels)
    if numbers.shape != (len(data),) or numbers.dtype.kind not in "iu":
        raise ValueError(f"{path} has {len(data)} rows of pixels but labels of shape {numbers.shape}: replace it")
    wrong = np.flatnonzero((numbers < 0) | (numbers > 9))
    if len(wrong):
        raise ValueError(
            f"{path} gives row {wrong[0]} the label {numbers[wrong[0]]}, outside 0 ... 9: mend or replace it"
        )
    return data.reshape(-1, 3, 32, 32), numbers.astype(np.int64)


def _listed_rows(path: Path, count: int) -> NDArray[np.int64]:
    """Return the rows that a file lists, each in 0 ... count - 1 and once."""
    try:
        rows = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.array(path.read_text().split(), int)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} (test_indices) is missing: give an existing file, or null") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} (test_indices) must list one whole number a line, or be a .npy: {error}") from error
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(f"{path} (test_indices) must list whole numbers, got {rows.dtype} of shape {rows.shape}")
    outside = rows[(rows < 0) | (rows >= count)]
    if len(outside):
        raise ValueError(f"{path} (test_indices) lists row {outside[0]}, the test file has rows 0 ... {count - 1}")
    values, counts = np.unique(rows, return_counts=True)
    if len(values) != len(rows):
        raise ValueError(f"{path} (test_indices) lists row {values[counts > 1][0]} more than once: list each row once")
    return rows.astype(np.int64)
