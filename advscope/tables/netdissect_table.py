"""Units and their concepts in NetDissect's own format: ``LAYER-result.csv``, with its first version's every column."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.tables.atomic_file import write_atomically
from advscope.tables.csv_table import number_column, read_fields

UNIT = ("unit", "category", "label", "score")
"""First columns: the unit, from 1, its best concept's category and name, and IoU with it."""

OF_CATEGORY = ("label", "truth", "activation", "intersect", "iou")
"""What follows of each category, as ``object-label``: its best concept, the pixels of that concept, of the unit in
images with a concept of the category, of both, and the IoU."""

REMEDY = "give a LAYER-result.csv of NetDissect's first version, or one that write_netdissect_table wrote"


def write_netdissect_table(
    path: str | Path,
    intersections: NDArray[np.int64],
    category_areas: NDArray[np.int64],
    concept_areas: NDArray[np.int64],
    names: Sequence[str],
    categories: Sequence[str],
    order: Sequence[str],
) -> None:
    r"""Write the units of a layer as NetDissect does: the same columns, order of rows, digits and line ends.

    .. math:: \mathrm{IoU}(k, c) = \frac{I_{kc}}{A_{k,\mathrm{cat}(c)} + G_c - I_{kc}}

    where a unit's pixels count only in images with a concept of the category. An empty union gives 0, as it does there
    (elsewhere in advscope it is ``nan``). Of concepts with the same IoU the first one is written, of categories the
    first in ``order``. Rows go down by score, equal ones by unit.

    Args:
        path: File to write; an old one is replaced in one step.
        intersections: Pixels on which unit k and concept c both are, ``I``, ``(K, C)``.
        category_areas: Pixels of each unit in images with a concept of each category, ``A``, ``(K, categories)``.
        concept_areas: Pixels of each concept, ``G``, ``(C,)``.
        names: Names of the concepts, C of them.
        categories: Category of each concept, C of them.
        order: Names of the categories, in the order of ``category_areas`` and of the columns.

    Raises:
        ValueError: If shapes do not fit each other, a category of ``order`` has no concept or one is missing there, or
            the counts contradict each other. Nothing is written then.

    References:
        Bau et al., *Network Dissection: Quantifying Interpretability of Deep Visual Representations*, CVPR 2017,
        eq. (1); the format is that of https://github.com/CSAILVision/NetDissect.
    """
    met, active, sizes = (np.asarray(each) for each in (intersections, category_areas, concept_areas))
    _check(path, met, active, sizes, names, categories, order)
    category_of = np.array([order.index(category) for category in categories], dtype=np.int64)
    unions = active[:, category_of] + sizes - met
    if (met < 0).any() or (met > sizes).any() or (met > active[:, category_of]).any():
        raise ValueError(
            f"{path}: a unit and a concept share more pixels than either has, or less than none; count anew"
        )
    iou = np.divide(met, unions, out=np.zeros(met.shape), where=unions > 0)
    members = [np.flatnonzero(category_of == number) for number in range(len(order))]
    # Of each unit and category the concept with the highest IoU, and of each unit the category with the highest.
    best = np.stack([own[iou[:, own].argmax(1)] for own in members], axis=1)
    scores = np.take_along_axis(iou, best, axis=1)
    first = scores.argmax(1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*UNIT, *(f"{category}-{column}" for category in order for column in OF_CATEGORY)])
    for unit in np.argsort(-scores.max(1), kind="stable").tolist():
        top = int(first[unit])
        row = [str(unit + 1), order[top], names[best[unit, top]], _float(scores[unit, top])]
        for number, concept in enumerate(best[unit].tolist()):
            row += [names[concept], str(int(sizes[concept])), _float(active[unit, number])]
            row += [str(int(met[unit, concept])), _float(scores[unit, number])]
        writer.writerow(row)
    write_atomically(path, text.getvalue().encode())


def read_netdissect_table(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read NetDissect's table of a layer by column, NetDissect's own files among them.

    Args:
        path: ``LAYER-result.csv`` of NetDissect's first version or of :func:`write_netdissect_table`.

    Returns:
        For each column, in the file's order and with its rows' order, an array: int64 for ``unit`` (from 1) and the
        counts ``-truth``, ``-activation`` and ``-intersect``, strings for ``category``, ``label`` and ``-label``,
        float64 for ``score`` and ``-iou``. Units with a score above 0.04 are NetDissect's detectors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field holds what its column cannot; the line is named.
    """
    fields = read_fields(path, UNIT, REMEDY)
    order = [name.removesuffix("-iou") for name in fields if name.endswith("-iou")]
    columns = [*UNIT, *(f"{category}-{column}" for category in order for column in OF_CATEGORY)]
    missing = [name for name in columns if name not in fields]
    if missing or not order:
        raise ValueError(f"{path} has no column {', '.join(missing or ['CATEGORY-iou'])}; {REMEDY}")
    return {name: _column(path, name, fields[name]) for name in columns}


def _check(
    path: str | Path,
    met: NDArray[Any],
    active: NDArray[Any],
    sizes: NDArray[Any],
    names: Sequence[str],
    categories: Sequence[str],
    order: Sequence[str],
) -> None:
    """Raise ValueError if the arrays do not fit each other."""
    concepts = len(names)
    if met.ndim != 2 or met.shape[1] != concepts or sizes.shape != (concepts,) or len(categories) != concepts:
        raise ValueError(
            f"{path}: for {concepts} names, intersections must be (K, {concepts}), concept_areas and categories "
            f"({concepts},), got {met.shape}, {sizes.shape} and ({len(categories)},)"
        )
    if active.shape != (len(met), len(order)):
        raise ValueError(f"{path}: category_areas must be ({len(met)}, {len(order)}), got {active.shape}")
    if any(array.dtype.kind not in "iu" for array in (met, active, sizes)):
        raise ValueError(f"{path}: counts must be integers, got {met.dtype}, {active.dtype} and {sizes.dtype}")
    if sorted(set(categories)) != sorted(order):
        raise ValueError(
            f"{path}: order must hold each category of the concepts once ({', '.join(sorted(set(categories)))}), "
            f"got {', '.join(order)}"
        )


def _float(value: float) -> str:
    """Return a number with the 17 digits that NetDissect's Python 2 gave an array's number, and a point in any case."""
    text = f"{float(value):.17g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _column(path: str | Path, name: str, fields: tuple[str, ...]) -> NDArray[Any]:
    """Return a column's fields as an array."""
    if name in ("category", "label") or name.endswith("-label"):
        return np.array(fields, dtype=str)
    for line, field in enumerate(fields, start=2):
        wrong = _wrong(field, whole=name != "score" and not name.endswith("-iou"))
        if wrong:
            raise ValueError(f"{path}, line {line}, column {name}: {wrong}; {REMEDY}")
    numbers = number_column(fields)
    return numbers if name == "score" or name.endswith("-iou") else numbers.astype(np.int64)


def _wrong(field: str, whole: bool) -> str:
    """Return what is wrong with a number's field, nothing where it is right."""
    try:
        number = float(field)
    except ValueError:
        return f"must be a number, got {field!r}"
    if whole and not (math.isfinite(number) and number >= 0 and number.is_integer()):
        return f"must be a count, got {field!r}"
    return "" if whole or 0 <= number <= 1 else f"must be in [0, 1], got {field!r}"
