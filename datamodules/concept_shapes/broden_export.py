"""ConceptShapes written in Broden's layout, for whatever reads Broden."""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.broden.label_mask import write_mask
from datamodules.broden.split_rule import split_of
from datamodules.broden.written_tables import CountedLabel, write_index, write_label_tables
from datamodules.concept_shapes.concept_shapes import OFFSETS
from datamodules.rendering import CONCEPTS, LAYERS, Rendered, render_split

SOURCE = "concept_shapes"
"""Folder of the pictures under ``images``: Broden's name for where images come from."""

_BLOCK = 100


def export_broden(
    folder: str | Path,
    images: int = 2_000,
    size: int = 32,
    pattern_strength: float = 4.0,
    render_seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write pictures of ConceptShapes, their annotation and its tables as :class:`datamodules.Broden` reads them.

    The pictures are those of the test split, in its order; pixels and annotation read back are the same, bit for bit,
    and so are the numbers of the labels. Masks have the pictures' size. A scene is written twice, as a label of the
    whole image and as a mask, as ConceptShapes has it in both ``image_concepts`` and ``concepts``. The folder is there
    when all of it is written, and not before.

    Args:
        folder: Where to write; must not exist, or be empty.
        images: Number of pictures, at least 1.
        size: Side of a picture in pixels, at least 16.
        pattern_strength: Amplitude of the planted pattern in 1/255; 0 for none.
        render_seed: Seed of the pictures.
        progress: Called with the number of pictures that are written, now and then.

    Raises:
        FileExistsError: If the folder holds something.
        ValueError: If a setting is not allowed.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already, and not an empty folder: name another one, or remove it")
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        (partial / "images" / SOURCE).mkdir(parents=True)
        rows: list[list[str | int]] = []
        frequencies, pixels = np.zeros(len(CONCEPTS) + 1, np.int64), np.zeros(len(CONCEPTS) + 1, np.int64)
        for start in range(0, images, _BLOCK):
            indices = np.arange(start, min(start + _BLOCK, images)) + OFFSETS["test"]
            rendered = render_split(render_seed, indices, size, pattern_strength)
            for place, index in enumerate(indices.tolist()):
                rows.append(_write_picture(partial / "images", f"{SOURCE}/{index:08d}", rendered, place))
            counts = _pixel_counts(rendered.concepts)
            frequencies += (counts > 0).sum(0)
            pixels += counts.sum(0)
            if progress is not None:
                progress(len(rows))
        write_index(partial, LAYERS, rows)
        # Numbers are those of ConceptShapes, and labels on no picture are listed too: which labels there are is no
        # matter of the pictures.
        labels = [
            CountedLabel(number, name, category, int(frequencies[number]), float(pixels[number] / size**2))
            for number, name, category in CONCEPTS
        ]
        write_label_tables(partial, LAYERS, labels)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_picture(folder: Path, name: str, rendered: Rendered, place: int) -> list[str | int]:
    """Write one picture and its masks; return its row of index.csv."""
    pixels, layers = rendered.images[place].transpose(1, 2, 0), rendered.concepts[place]
    Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{name}.png")
    cells = []
    for category, labels in zip(LAYERS, layers, strict=True):
        # Empty masks are written too, so that the number of layers does not depend on which pictures are exported.
        mask = f"{name}_{category}.png"
        write_mask(folder / mask, labels)
        cells.append(f"{rendered.image_concepts[place, 0]};{mask}" if category == "scene" else mask)
    return [f"{name}.png", split_of(f"{name}.png"), *pixels.shape[:2], *layers.shape[1:], *cells]


def _pixel_counts(concepts: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return how many pixels of each picture have each label, ``(N, labels + 1)``; a label has one category only."""
    count, labels = len(concepts), len(CONCEPTS) + 1
    keys = concepts.reshape(count, -1) + labels * np.arange(count)[:, None]
    counts = np.bincount(keys.ravel(), minlength=count * labels).reshape(count, labels)
    counts[:, 0] = 0
    return counts
