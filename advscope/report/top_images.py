"""The images to which units respond most, as a file: ``RUN/results/NAME/top_images.npz``."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advscope.report.archive import check_dimensions, plain_array, read_arrays, write_arrays
from advscope.report.unit_examples import REMEDY

_NEEDED = {
    "images": "U m C H W", "masks": "U m h w", "layers": "U", "units": "U", "concepts": "U", "categories": "U",
    "values": "U m", "indices": "U m",
}  # fmt: skip


class TopImages(NamedTuple):
    """For each of ``U`` units the ``m`` images with its largest activations, as NetDissect shows them."""

    images: NDArray[Any]
    """Images in [0, 1], ``(U, m, C, H, W)``, the largest activation first."""
    masks: NDArray[np.bool_]
    """Where the unit is active in them, ``(U, m, h, w)``; ``h, w`` may be coarser than the image."""
    layers: NDArray[Any]
    """Name of each unit's layer, ``(U,)``."""
    units: NDArray[Any]
    """Its number in the layer, from 0, ``(U,)``."""
    concepts: NDArray[Any]
    """Its best concept, ``(U,)``; empty where it has none."""
    categories: NDArray[Any]
    """The category of that concept, ``(U,)``."""
    values: NDArray[Any]
    """The unit's largest activation in each image, ``(U, m)``."""
    indices: NDArray[Any]
    """Place of each image in its data set, ``(U, m)``; -1 where there are fewer than ``m`` images."""


def write_top_images(path: str | Path, images: TopImages) -> None:
    """Write the images; the same bytes for the same arrays or tensors.

    Raises:
        ValueError: If shapes do not belong together or a mask is not boolean; nothing is written then.
    """
    arrays = {name: plain_array(value) for name, value in images._asdict().items()}
    _check(arrays, path)
    write_arrays(path, arrays)


def read_top_images(path: str | Path) -> TopImages:
    """Read what :func:`write_top_images` wrote; never runs code from the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or incomplete.
    """
    arrays = read_arrays(path, REMEDY)
    _check(arrays, path)
    return TopImages(**{name: arrays[name] for name in TopImages._fields})


def _check(arrays: dict[str, NDArray[Any]], path: str | Path) -> None:
    """Refuse what :class:`TopImages` does not describe."""
    check_dimensions(arrays, _NEEDED, path, REMEDY)
    if arrays["masks"].dtype != np.bool_:
        raise ValueError(f"{path}: masks must be bool, got {arrays['masks'].dtype}; {REMEDY}")
