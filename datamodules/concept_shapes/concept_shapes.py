"""ConceptShapes: the built-in data set, rendered, with every concept known."""

import hashlib
import os
import uuid
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from datamodules.augmentation import Augmentation
from datamodules.base import SplitName
from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.rendering import CONCEPTS, SHAPES, Rendered, fingerprint, render_split

_MOST = 10_000_000
OFFSETS: dict[SplitName, int] = {"train": 0, "val": _MOST, "test": 2 * _MOST}
"""Index of the first picture of each split."""


class ConceptShapes(InMemoryDataModule):
    """Rendered pictures of ten shapes with parts, in eleven colours, six surfaces and seven scenes.

    Each picture is a function of (render_seed, index) and of what is set here, whatever the process that renders it.
    Training pictures have the indices from 0, validation from 10,000,000, test from 20,000,000; the class is the index
    modulo 10. What is planted, so that every measure can be checked against it:

    * the class is the object's shape alone: colours, textures, scene and distractors are drawn independently of it;
    * every pixel is annotated with object, part, colour, texture and scene (``annotated`` splits);
    * with ``pattern_strength``, each class has a faint pattern of high frequency over the whole picture
      (:func:`datamodules.rendering.class_patterns`): a feature that predicts the class, that no human uses, and that
      an attack of a larger budget removes (a non-robust feature).

    The card is docs/concept_shapes.md. Rendered splits are cached under ``root``, with a checksum; a damaged file is
    rendered anew with a warning, and a change to the renderer never meets a cache of its predecessor.

    Args:
        root: Folder of the cache; null renders anew each time.
        train: Number of training images, at most 10,000,000.
        val: Number of validation images, at most 10,000,000.
        test: Number of test images, at most 10,000,000.
        size: Side of a picture in pixels, at least 16.
        pattern_strength: Amplitude of the planted pattern in 1/255; 0 for none.
        render_seed: Seed of the pictures.
        annotated: Splits that come with their concepts.
        batch_size: Training images per batch and process.
        eval_batch_size: Images per batch and process in validation and test.
        seed: Seed of shuffling and augmentation.
        augmentation: What changes the training images in each epoch; null leaves them as they are.

    Raises:
        ValueError: If a setting is not allowed.
    """

    class_names = tuple(SHAPES)
    concepts = CONCEPTS

    def __init__(
        self,
        root: str | None = "data/concept_shapes",
        train: int = 20_000,
        val: int = 2_000,
        test: int = 2_000,
        size: int = 32,
        pattern_strength: float = 4.0,
        render_seed: int = 0,
        annotated: Sequence[SplitName] = ("test",),
        batch_size: int = 128,
        eval_batch_size: int = 256,
        seed: int = 0,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed, augmentation)
        self.counts: dict[SplitName, int] = {"train": train, "val": val, "test": test}
        for name, count in self.counts.items():
            if not 1 <= count <= _MOST:
                raise ValueError(f"{name} must be 1 ... {_MOST:,} images, got {count}")
        unknown = sorted(set(annotated) - set(self.counts))
        if unknown:
            raise ValueError(f"annotated must name splits among train, val and test, got {', '.join(unknown)}")
        if size < 16:
            raise ValueError(f"size must be at least 16 pixels, got {size}")
        if not 0 <= pattern_strength <= 255:
            raise ValueError(f"pattern_strength must be 0 ... 255 (in 1/255), got {pattern_strength}")
        self.root = None if root is None else Path(root)
        self.size = size
        self.pattern_strength = float(pattern_strength)
        self.render_seed = render_seed
        self.annotated = tuple(annotated)

    def prepare_data(self) -> None:
        """Render what the cache lacks, once and not in every process."""
        if self.root is not None:
            for name in self.counts:
                self._rendered(name)

    def load(self, split: SplitName) -> Split:
        """Return the images of a split, from the cache or rendered."""
        rendered = self._rendered(split)
        concepts = split in self.annotated
        return Split(
            torch.from_numpy(rendered.images),
            torch.from_numpy(rendered.labels),
            torch.from_numpy(self._indices(split)),
            torch.from_numpy(rendered.concepts) if concepts else None,
            torch.from_numpy(rendered.image_concepts) if concepts else None,
        )

    def cache_file(self, split: SplitName) -> Path | None:
        """Return the file that a split is cached in, whose name tells all settings; None without a root."""
        if self.root is None:
            return None
        settings = (
            f"{self.counts[split]}x{self.size}",
            f"seed{self.render_seed}",
            f"pattern{self.pattern_strength!r}",
            "annotated" if split in self.annotated else "plain",
            fingerprint()[:12],
        )
        return self.root / f"{split}-{'-'.join(settings)}.npz"

    def _indices(self, split: SplitName) -> np.ndarray:
        return np.arange(self.counts[split], dtype=np.int64) + OFFSETS[split]

    def _rendered(self, split: SplitName) -> Rendered:
        path = self.cache_file(split)
        cached = None if path is None or not path.exists() else _read(path)
        if cached is not None:
            return cached
        annotated = split in self.annotated
        rendered = render_split(self.render_seed, self._indices(split), self.size, self.pattern_strength, annotated)
        if path is not None:
            _write(path, rendered)
        return rendered


def _read(path: Path) -> Rendered | None:
    """Return what a cache file holds; None, and a warning, where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            rendered = Rendered(*(file[name] for name in Rendered._fields))
            if str(file["sha256"]) == _checksum(path.name, rendered):
                return rendered
        reason = "its checksum is another one"
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
    warnings.warn(f"{path} is damaged ({reason}): rendering it anew", stacklevel=2)
    return None


def _write(path: Path, rendered: Rendered) -> None:
    """Write a cache file in one step: several processes may do so at once, and the last one's file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("xb") as file:
            np.savez(file, sha256=np.array(_checksum(path.name, rendered)), **rendered._asdict())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _checksum(settings: str, rendered: Rendered) -> str:
    """Return the sha256 over the settings, and over shape, type and content of all arrays."""
    digest = hashlib.sha256(settings.encode())
    for array in rendered:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
