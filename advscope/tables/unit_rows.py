"""What a dissection found in each unit of a network, as a file: ``RUN/results/NAME/units.csv``."""

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.tables.atomic_file import write_atomically
from advscope.tables.csv_table import number_column, number_field, read_fields

KINDS = ("regular", "zero", "maximum")
"""What a unit's threshold is: a value in between, 0, or the largest activation itself."""

Units = Mapping[str, NDArray[Any]]
"""One run's units by column, as :func:`read_units` returns them."""

TEXTS = ("layer", "kind", "concept", "category", "adversarial_concept", "adversarial_category")
COLUMNS = (
    "layer", "unit", "threshold", "maximum", "kind", "concept", "category", "iou", "iou_low", "iou_high", "detector",
    "interpretability", "sensitivity", "sensitivity_low", "sensitivity_high", "sensitivity_all", "area",
    "adversarial_concept", "adversarial_category", "adversarial_iou",
)  # fmt: skip
"""Columns of every file, in this order."""

REMEDY = "make it anew with `python evaluate.py --run RUN` and callbacks.DissectionMonitor in the evaluation"


def write_units(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one row per unit: layers in the order in which they first come, the units of each by number.

    Args:
        path: File to write; an old one is replaced in one step.
        rows: Mappings with the keys of :data:`COLUMNS`: ``layer``, ``concept``, ``category`` and those of adversarial
            images are names (the latter four empty where a unit has no concept), ``unit`` counts from 0, ``kind`` is
            one of :data:`KINDS`, ``detector`` says whether the unit detects its concept; the rest are
            numbers, and an empty field is written for None or nan.

    Raises:
        ValueError: If a row lacks a column or has one more, holds what its column cannot, or a unit comes twice;
            nothing is written then.
    """
    listed = list(rows)
    for row in listed:
        missing = [name for name in COLUMNS if name not in row]
        further = [str(name) for name in row if name not in COLUMNS]
        if missing or further:
            said = f"has no {', '.join(missing)}" if missing else f"has {', '.join(further)}"
            raise ValueError(f"{path}: a row {said}; each has {', '.join(COLUMNS)}")
        if row["kind"] not in KINDS:
            raise ValueError(f"{path}: kind must be one of {', '.join(KINDS)}, got {row['kind']!r}")
    order = {layer: place for place, layer in enumerate(dict.fromkeys(str(row["layer"]) for row in listed))}
    ordered = sorted(listed, key=lambda row: (order[str(row["layer"])], int(row["unit"])))
    for one, other in pairwise(ordered):
        if (str(one["layer"]), int(one["unit"])) == (str(other["layer"]), int(other["unit"])):
            raise ValueError(f"{path}: unit {int(one['unit'])} of layer {one['layer']} comes twice; give it once")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in ordered:
        writer.writerow([_field(row[name], name, path) for name in COLUMNS])
    write_atomically(path, text.getvalue().encode())


def read_units(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the units by column.

    Args:
        path: A file that :func:`write_units` wrote.

    Returns:
        For each of :data:`COLUMNS` an array with one entry per unit: strings for :data:`TEXTS`, int64 for
        ``unit``, bool for ``detector``, float64 for the rest, nan where the field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field holds what its column cannot.
    """
    fields = read_fields(path, COLUMNS, REMEDY)
    return {name: _column(name, fields[name], path) for name in COLUMNS}


def _field(value: Any, name: str, path: str | Path) -> Any:
    """Return what is written for a value."""
    if name in TEXTS:
        return str(value)
    if name in ("unit", "detector"):
        return int(value)
    return number_field(value, name, path)


def _column(name: str, fields: tuple[str, ...], path: str | Path) -> NDArray[Any]:
    """Return a column's fields as an array."""
    if name in TEXTS:
        unknown = sorted(set(fields) - set(KINDS)) if name == "kind" else []
        if unknown:
            raise ValueError(f"{path}, column kind: {unknown[0]!r} is none of {', '.join(KINDS)}; {REMEDY}")
        return np.array(fields, dtype=str)
    try:
        if name == "unit":
            return np.array([int(field) for field in fields], dtype=np.int64)
        if name == "detector":
            return np.array([("0", "1").index(field) for field in fields], dtype=bool)
        return number_column(fields)
    except ValueError as error:
        raise ValueError(f"{path}, column {name}: {error}; {REMEDY}") from None
