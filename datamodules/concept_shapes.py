"""ConceptShapes: the built-in data set, rendered, with every concept known."""

import hashlib
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from datamodules.augmentation import Augmentation
from datamodules.base import SplitName
from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.rendering import SHAPES, Rendered, render

RENDERER = 1
"""Number of the renderer's pictures: goes up whenever a pixel changes, so that no cache outlives its renderer."""

_OFFSETS: dict[str, int] = {"train": 0, "val": 10_000_000, "test": 20_000_000}
_BLOCK = 500


class ConceptShapes(InMemoryDataModule):
    """Rendered pictures of ten shapes with parts, in eleven colours, six textures and seven scenes.

    Each picture is a function of (seed, index) and of what is set here, whatever the process that renders it. What is
    planted, so that every measure can be checked against it:

    * the class is the object's shape alone: colours, textures, scene and distractors are drawn independently of it;
    * every pixel is annotated with object, part, colour, texture and scene (``annotated`` splits);
    * with ``pattern_strength``, each class has a faint pattern of high frequency over the whole picture: a feature that
      predicts the class, that no human sees, and that an attack of a larger budget removes (a non-robust feature).

    The card is docs/concept_shapes.md. Rendered splits are cached under ``root``, with a checksum.

    Args:
        root: Folder of the cache; null renders anew each time.
        train: Number of training images.
        val: Number of validation images, rendered apart.
        test: Number of test images, rendered apart.
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
        self.counts = {"train": train, "val": val, "test": test}
        for name, count in self.counts.items():
            if not 1 <= count <= 10_000_000:
                raise ValueError(f"{name} must be 1 ... 10,000,000 images, got {count}")
        unknown = sorted(set(annotated) - set(self.counts))
        if unknown:
            raise ValueError(f"annotated must name splits among train, val and test, got {unknown}")
        if size < 16:
            raise ValueError(f"size must be at least 16 pixels, got {size}")
        if pattern_strength < 0:
            raise ValueError(f"pattern_strength must not be negative, got {pattern_strength}")
        self.root = None if root is None else Path(root)
        self.size = size
        self.pattern_strength = pattern_strength
        self.render_seed = render_seed
        self.annotated = tuple(annotated)

    def prepare_data(self) -> None:
        """Render what the cache lacks, once and not in every process."""
        if self.root is not None:
            for name in self.counts:
                self.load(name)

    def load(self, split: SplitName) -> Split:
        """Return the images of a split, from the cache or rendered."""
        indices = np.arange(self.counts[split], dtype=np.int64) + _OFFSETS[split]
        rendered = self._from_cache(split)
        if rendered is None:
            rendered = self._render(indices)
            self._to_cache(split, rendered)
        concepts = split in self.annotated
        return Split(
            torch.from_numpy(rendered.images),
            torch.from_numpy(rendered.labels),
            torch.from_numpy(indices),
            torch.from_numpy(rendered.concepts) if concepts else None,
            torch.from_numpy(rendered.image_concepts) if concepts else None,
        )

    def _render(self, indices: np.ndarray) -> Rendered:
        blocks = [
            render(self.render_seed, block, self.size, self.pattern_strength)
            for block in np.array_split(indices, -(-len(indices) // _BLOCK))
        ]
        return Rendered(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))

    def _cache_file(self, split: SplitName) -> Path | None:
        if self.root is None:
            return None
        settings = f"{RENDERER}-{self.render_seed}-{self.size}-{self.pattern_strength:g}-{self.counts[split]}"
        return self.root / f"{split}-{settings}.npz"

    def _from_cache(self, split: SplitName) -> Rendered | None:
        path = self._cache_file(split)
        if path is None or not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                rendered = Rendered(*(file[name] for name in Rendered._fields))
                intact = str(file["sha256"]) == _checksum(rendered)
        except Exception:  # a cut or changed file makes zip, npy and numpy raise whatever they like
            intact = False
        if intact:
            return rendered
        warnings.warn(f"{path} is damaged: rendering it anew", stacklevel=2)
        return None

    def _to_cache(self, split: SplitName, rendered: Rendered) -> None:
        path = self._cache_file(split)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        np.savez(buffer, sha256=np.array(_checksum(rendered)), **rendered._asdict())
        # Several processes may write at once: each its own file, and the last to be named stays.
        temporary = path.with_suffix(f".{os.getpid()}.partial")
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, path)


def _checksum(rendered: Rendered) -> str:
    """Return the sha256 over all arrays."""
    digest = hashlib.sha256()
    for array in rendered:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
