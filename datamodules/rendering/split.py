"""Many pictures at once, in blocks that fit into memory."""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advscope import counter_hash
from datamodules.rendering.concepts import LAYERS
from datamodules.rendering.render import Rendered, render

_BLOCK_PIXELS = 500 * 32 * 32


def render_split(
    seed: int,
    indices: NDArray[np.int64],
    size: int = 32,
    pattern_strength: float = 0.0,
    annotated: bool = True,
) -> Rendered:
    """Render any number of pictures; the result does not depend on how they are divided into blocks.

    Args:
        seed: Seed of the data set.
        indices: Which pictures, ``(N,)``, at least one.
        size: Side of a picture in pixels, at least 16.
        pattern_strength: Amplitude of the class's planted pattern, in 1/255; 0 for none.
        annotated: Keep the annotation; else ``concepts`` and ``image_concepts`` hold no layer: ``(N, 0, H, W)``
            and ``(N, 0)``.

    Raises:
        ValueError: If there are no indices, or as :func:`~datamodules.rendering.render`.
    """
    if not len(indices):
        raise ValueError("there is nothing to render: indices must hold at least one, got none")
    # The whole is laid out before the first block is, so that no annotation is held twice or for nothing.
    layers = len(LAYERS) if annotated else 0
    whole = Rendered(
        np.empty((len(indices), 3, size, size), np.uint8),
        np.empty(len(indices), np.int64),
        np.empty((len(indices), layers, size, size), np.int16),
        np.empty((len(indices), min(layers, 1)), np.int16),
    )
    block = max(1, _BLOCK_PIXELS // size**2)
    for start in range(0, len(indices), block):
        rows = slice(start, start + block)
        part = render(seed, indices[rows], size, pattern_strength)
        whole.images[rows], whole.labels[rows] = part.images, part.labels
        if annotated:
            whole.concepts[rows], whole.image_concepts[rows] = part.concepts, part.image_concepts
    return whole


@cache
def fingerprint() -> str:
    """Return the sha256 over the renderer's own source, in hexadecimal: another one whenever a picture may change."""
    digest = hashlib.sha256()
    for path in (Path(counter_hash.__file__), *sorted(Path(__file__).parent.glob("*.py"))):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
