"""Where units respond in a few image pairs, as a file: ``RUN/results/NAME/unit_examples.npz``."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advscope.report.archive import check_dimensions, plain_array, read_arrays, write_arrays

ROLES = ("detector", "suppressed", "promoted")
"""What becomes of a unit under attack: it detects a concept, its mask shrinks, or it grows."""

REMEDY = "make it anew with `python evaluate.py --run RUN` and callbacks.DissectionMonitor in the evaluation"

_NEEDED = {
    "images": "E C H W", "adversarials": "E C H W", "masks": "E U h w", "adversarial_masks": "E U h w",
    "layers": "U", "units": "U", "concepts": "U", "categories": "U", "roles": "U",
    "indices": "E", "labels": "E", "targets": "E",
}  # fmt: skip
_OPTIONAL = {"map_true": "E H W", "map_target": "E H W", "cells": "m 4", "cell_classes": "E m"}
_TEXTS = ("layers", "concepts", "categories", "roles", "labels", "targets")
_TOGETHER = (("map_true", "map_target"), ("cells", "cell_classes"))


class UnitExamples(NamedTuple):
    """``E`` image pairs with the masks of ``U`` units, as the paper's Figure 8 shows them."""

    images: NDArray[Any]
    """Clean images in [0, 1], ``(E, C, H, W)``."""
    adversarials: NDArray[Any]
    """Their adversarial images, of the same shape."""
    masks: NDArray[np.bool_]
    """Where a unit is active in the clean image, ``(E, U, h, w)``; ``h, w`` may be coarser than the image."""
    adversarial_masks: NDArray[np.bool_]
    """The same of the adversarial image."""
    layers: NDArray[Any]
    """Name of each unit's layer, ``(U,)``."""
    units: NDArray[Any]
    """Its number in the layer, from 0, ``(U,)``."""
    concepts: NDArray[Any]
    """Its best concept, ``(U,)``; empty where it has none."""
    categories: NDArray[Any]
    """The category of that concept, ``(U,)``."""
    roles: NDArray[Any]
    """One of :data:`ROLES` each, ``(U,)``."""
    indices: NDArray[Any]
    """Place of each image in its data set, ``(E,)``."""
    labels: NDArray[Any]
    """Name of each image's true class t0, ``(E,)``."""
    targets: NDArray[Any]
    """Name of the class t that its adversarial image is taken for, ``(E,)``."""
    map_true: NDArray[Any] | None = None
    """Class activation map F(x, t0), ``(E, H, W)``, where the network has a class head."""
    map_target: NDArray[Any] | None = None
    """Class activation map F(x', t), likewise."""
    cells: NDArray[Any] | None = None
    """The cells of PSR ``(m, 4)``: top, left, bottom, right."""
    cell_classes: NDArray[Any] | None = None
    """Class of each cell ``(E, m)``: 0 suppression, 1 promotion, 2 balance (the order of
    :data:`~advscope.report.figure_style.CELL_CLASSES`), -1 for one that is not significant."""


def write_unit_examples(path: str | Path, examples: UnitExamples) -> None:
    """Write the examples; the same bytes for the same arrays or tensors.

    Args:
        path: File to write; an old one is replaced in one step.
        examples: What is written; fields that are None are left out.

    Raises:
        ValueError: If shapes do not belong together, a mask is not boolean, or a role or a cell's class is none;
            nothing is written then.
    """
    arrays = {name: plain_array(value) for name, value in examples._asdict().items() if value is not None}
    _check(arrays, path)
    write_arrays(path, arrays)


def read_unit_examples(path: str | Path) -> UnitExamples:
    """Read what :func:`write_unit_examples` wrote; never runs code from the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, incomplete, or holds what a field cannot.
    """
    arrays = read_arrays(path, REMEDY)
    _check(arrays, path)
    return UnitExamples(**{name: array for name, array in arrays.items() if name in UnitExamples._fields})


def _check(arrays: dict[str, NDArray[Any]], path: str | Path) -> None:
    """Refuse what :class:`UnitExamples` does not describe."""
    check_dimensions(arrays, _NEEDED, path, REMEDY, _OPTIONAL)
    for one, other in _TOGETHER:
        if (one in arrays) != (other in arrays):
            raise ValueError(f"{path}: {one} and {other} belong together, one is missing; {REMEDY}")
    for name in ("masks", "adversarial_masks"):
        if arrays[name].dtype != np.bool_:
            raise ValueError(f"{path}: {name} must be bool, got {arrays[name].dtype}; {REMEDY}")
    for name in _TEXTS:
        if arrays[name].dtype.kind != "U":
            raise ValueError(f"{path}: {name} must hold names, got {arrays[name].dtype}; {REMEDY}")
    unknown = sorted(set(arrays["roles"].tolist()) - set(ROLES))
    if unknown:
        raise ValueError(f"{path}: role {unknown[0]!r} is none of {', '.join(ROLES)}; {REMEDY}")
    classes = arrays.get("cell_classes")
    if classes is not None and classes.size and not -1 <= classes.min() <= classes.max() <= 2:
        raise ValueError(
            f"{path}: cell_classes must be -1 to 2 (none, suppression, promotion, balance), got {classes.min()} to "
            f"{classes.max()}; {REMEDY}"
        )
