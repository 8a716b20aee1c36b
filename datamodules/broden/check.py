"""A full check of a folder in Broden's layout: every image and every mask is decoded, once."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.broden.checked import CategoryCount, Checked
from datamodules.broden.decoder import AnnotatedImageDecoder
from datamodules.broden.index import SPLITS, AnnotatedImages, read_index, whole_image_labels
from datamodules.broden.labels import Labels, read_categories, read_labels
from datamodules.broden.record import fingerprint, forget, remember
from datamodules.broden.table import read_table
from datamodules.image_preprocessing import BrokenFileError

_CHUNK = 16


def check(
    root: str | Path, num_workers: int = 0, progress: Callable[[int, int], object] | None = None
) -> tuple[Checked, Path | None]:
    """Decode every image and mask of a folder in Broden's layout, in all categories, and remember that they are good.

    The first fault in the order of index.csv is the one that is told, whatever the number of workers.

    Args:
        root: Folder of the data.
        num_workers: Processes that decode; 0 decodes in this one.
        progress: Called with the number of images that are done, and of all.

    Returns:
        What the folder holds, and the file that remembers it; None where none could be written.

    Raises:
        ValueError: If a table, an image or a mask is broken or contradicts another; names it in one line.
        FileNotFoundError: If one is missing.
    """
    root = Path(root)
    if num_workers < 0:
        raise ValueError(f"num_workers must not be negative, got {num_workers}")
    try:
        categories = read_categories(root, None)
        labels = read_labels(root, categories)
        # What the tables and the first bytes of the masks tell comes first: it takes seconds.
        images = read_index(root, categories, labels, None)
        # From before the decoding: what changes meanwhile is looked at again.
        state = fingerprint(root)
        reader = _Reader(images, labels, whole_image_labels(root, categories, labels))
        seen = _decode_all(reader, num_workers, progress)
    except (ValueError, FileNotFoundError):
        forget(root)
        raise
    splits = Counter(row.cells["split"] for row in read_table(root / "index.csv", ("split",)))
    checked = Checked(
        len(images.rows),
        {name: splits[name] for name in SPLITS},
        dict(seen.sizes),
        (images.height, images.width),
        tuple(
            CategoryCount(
                category,
                len(labels.numbers[category]),
                len(seen.found[category]),
                seen.labelled[category],
                int((images.masks[:, [layer == category for layer in images.layers]] != b"").sum()),
            )
            for category in categories
        ),
        tuple(bytes(images.images[place]).decode(errors="replace") for place in seen.unlabelled),
    )
    try:
        return checked, remember(root, state, checked.lines())
    except OSError:
        return checked, None


class _Seen(NamedTuple):
    """What some images hold."""

    sizes: Counter[tuple[int, int]]
    found: dict[str, set[int]]
    """Labels by category."""
    labelled: Counter[str]
    """Images by category."""
    unlabelled: list[int]


def _nothing(categories: Iterable[str]) -> _Seen:
    return _Seen(Counter(), {category: set() for category in categories}, Counter(), [])


class _Reader(Dataset[Any]):
    """Decodes images with all their masks; it travels to the worker processes."""

    def __init__(self, images: AnnotatedImages, labels: Labels, whole: list[list[tuple[str, int]]]) -> None:
        self.decoder = AnnotatedImageDecoder(images, labels, size=1)
        self.categories = tuple(labels.numbers)
        self.whole = whole

    def __getitems__(self, places: list[int]) -> _Seen | str:
        """Return what these images hold; or the line that names the first fault."""
        seen = _nothing(self.categories)
        for place in places:
            try:
                self._read(place, seen)
            # A worker's own exception would arrive wrapped in its traceback.
            except BrokenFileError as error:
                return f"row {self.decoder.images.rows[place]} of index.csv: {error}"
        return seen

    def _read(self, place: int, seen: _Seen) -> None:
        images = self.decoder.images
        width, height = self.decoder.image(place).size
        seen.sizes[height, width] += 1
        here = {category: set[int]() for category in self.categories}
        for layer, mask in enumerate(images.masks[place]):
            if mask:
                here[images.layers[layer]].update(np.unique(self.decoder.mask(place, layer)).tolist())
        for category, number in self.whole[place]:
            here[category].add(number)
        for category, numbers in here.items():
            numbers.discard(0)
            seen.found[category].update(numbers)
            seen.labelled[category] += bool(numbers)
        if not any(here.values()):
            seen.unlabelled.append(place)


def _decode_all(reader: _Reader, num_workers: int, progress: Callable[[int, int], object] | None) -> _Seen:
    count = len(reader.whole)
    chunks = [list(range(start, min(start + _CHUNK, count))) for start in range(0, count, _CHUNK)]
    total = _nothing(reader.categories)
    loader = DataLoader(
        reader,
        batch_sampler=chunks,
        collate_fn=_as_is,
        num_workers=num_workers,
        # Workers are seeded from here: the global random state stays as it is.
        generator=torch.Generator(),
    )
    done = 0
    for chunk, seen in zip(chunks, loader, strict=True):
        if isinstance(seen, str):
            raise BrokenFileError(seen)
        total.sizes.update(seen.sizes)
        total.labelled.update(seen.labelled)
        total.unlabelled.extend(seen.unlabelled)
        for category, numbers in seen.found.items():
            total.found[category] |= numbers
        done += len(chunk)
        if progress is not None:
            progress(done, count)
    return total


def _as_is(chunk: Any) -> Any:
    return chunk
