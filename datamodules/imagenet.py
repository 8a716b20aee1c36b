"""ImageNet, and any other images sorted into one folder per class."""

from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from advscope.counter_hash import permutation
from datamodules.base import SplitName
from datamodules.class_folders import Classes, ImageFiles, class_folders, read_classes, scan
from datamodules.flat_folder import is_flat, listed_classes, scan_flat
from datamodules.stored_image_data import StoredImageData

# Counters of the permutation in which images are tested.
_TEST_ORDER = (0, 0x0DE5)


class ImageNet(StoredImageData):
    """ILSVRC2012 in folders (``train/`` and ``val/``, one folder per synset), or any images in such folders.

    Validation images are held out of ``train/``; the test set is ``val/``, with class folders or, as it is published,
    without them and with a list of labels. A root without these two folders is all test set, and cannot be trained on.
    An image's index is its place in the sorted order of the files under ``train/`` (``train`` and ``val``) or under
    ``val/`` (``test``). The test set's order is a fixed random permutation, so that any beginning of an evaluation is a
    fair sample of it and not its first classes; no setting changes it, and a subset keeps it. docs/imagenet.md shows
    all layouts.

    Args:
        root: Folder of the data.
        labels: Classes of the test images where these lie in no class folders: a text file with one number a line,
            from 0, in the sorted order of the files; or with "FILE NUMBER" or "FILE SYNSET" on each line; or the
            unpacked folder of ILSVRC2012's development kit (needs scipy).
        settings: Those of :class:`~datamodules.stored_image_data.StoredImageData`. Null ``classes`` numbers the sorted
            folder names, which for all 1,000 synsets is the official order; without class folders, the devkit's
            synsets, the list's sorted names, or as many classes as its highest number asks for.

    Raises:
        ValueError: If a setting is out of range; at ``setup``, if ``labels`` is missing, of no use, or does not fit.
        FileNotFoundError: When a split is asked for, and its folder is missing or holds no images.
    """

    def __init__(self, root: str = "data/imagenet", labels: str | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.root = Path(root)
        self.labels_file = None if labels is None else Path(labels)
        self._files: dict[Path, ImageFiles] = {}

    @cached_property
    def classes(self) -> Classes:
        """The classes, by number: those of the classes file, else of the folders, else of the list of labels."""
        known = self._known_classes()
        if known is not None:
            return known
        numbers = tuple(str(number) for number in range(int(self.files("test").labels.max()) + 1))
        return Classes(numbers, numbers)

    def files(self, name: SplitName) -> ImageFiles:
        """Return the files among which a split's images are, read from the folders at the first call."""
        folder = self._folder(name)
        if name != "test" and not folder.is_dir():
            class_folders(self.root)  # a missing root is said first
            raise FileNotFoundError(
                f"{folder} is missing: training needs a root with train/ and val/; {self.root} can only be tested on"
            )
        if folder not in self._files:
            self._files[folder] = self._scan(folder, name)
        return self._files[folder]

    def where(self, name: SplitName) -> str:
        """Return the folder of a split's images."""
        return str(self._folder(name))

    def test_order(self, count: int) -> Tensor:
        """Return a permutation that depends on the number of images alone."""
        return permutation(count, *_TEST_ORDER)

    def _scan(self, folder: Path, name: SplitName) -> ImageFiles:
        if name != "test" or not is_flat(folder):
            if name == "test" and self.labels_file is not None:
                class_folders(folder)  # a missing folder is said first
                raise ValueError(
                    f"labels is {self.labels_file}, but {folder} is no folder of images without class folders: their"
                    " names say the classes; set labels to null"
                )
            return scan(folder, self.classes)
        if self.labels_file is None:
            raise ValueError(
                f"{folder} holds images and no class folders: set labels to a file with one class number a line"
                ' (ILSVRC2012_val_labels_0based.txt), to one with "FILE CLASS" a line, or to the unpacked devkit'
            )
        return scan_flat(folder, self.labels_file, self._known_classes())

    def _known_classes(self) -> Classes | None:
        """Return the classes as far as they are known without the numbers in a list of labels."""
        if self.classes_file is not None:
            return read_classes(Path(self.classes_file))
        folder = self.root / "train" if (self.root / "train").is_dir() else self._folder("test")
        if is_flat(folder):
            return None if self.labels_file is None else listed_classes(self.labels_file)
        folders = tuple(class_folders(folder))
        return Classes(folders, folders)

    def _folder(self, name: SplitName) -> Path:
        if name != "test":
            return self.root / "train"
        in_parts = (self.root / "train").is_dir() or (self.root / "val").is_dir()
        return self.root / "val" if in_parts else self.root
