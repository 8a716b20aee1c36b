"""What masking a layer's units does to a network, as a file: ``RUN/results/NAME/masking.csv``."""

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

ORDERS = ("sensitive", "interpretable", "random")
"""Which units are masked first."""

TEXTS = ("layer", "order", "attack")
COUNTS = ("masked", "units", "images")
COLUMNS = (
    "layer", "order", "masked", "units", "attack", "images", "clean_accuracy", "clean_low", "clean_high",
    "robust_accuracy", "robust_low", "robust_high",
)  # fmt: skip
"""Columns of every file, in this order."""

REMEDY = "make it anew with `python evaluate.py --run RUN` and callbacks.UnitMaskingMonitor in the evaluation"


def write_masking(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one row per layer, order and number of masked units, the numbers of each order rising.

    Args:
        path: File to write; an old one is replaced in one step.
        rows: Mappings with the keys of :data:`COLUMNS`: ``layer`` and ``attack`` are names, ``order`` is one of
            :data:`ORDERS`, ``masked``, ``units`` (those of the layer that are ranked) and ``images`` are whole numbers;
            the rest are rates in [0, 1], and an empty field is written for None or nan.

    Raises:
        ValueError: If a row lacks a column or has one more, holds what its column cannot, or one of an order and number
            comes twice; nothing is written then.
    """
    listed = list(rows)
    for row in listed:
        missing = [name for name in COLUMNS if name not in row]
        further = [str(name) for name in row if name not in COLUMNS]
        if missing or further:
            said = f"has no {', '.join(missing)}" if missing else f"has {', '.join(further)}"
            raise ValueError(f"{path}: a row {said}; each has {', '.join(COLUMNS)}")
        if row["order"] not in ORDERS:
            raise ValueError(f"{path}: order must be one of {', '.join(ORDERS)}, got {row['order']!r}")
    curves = {key: place for place, key in enumerate(dict.fromkeys(map(_curve, listed)))}
    ordered = sorted(listed, key=lambda row: (curves[_curve(row)], int(row["masked"])))
    for row, following in pairwise(ordered):
        if (_curve(row), int(row["masked"])) == (_curve(following), int(following["masked"])):
            raise ValueError(
                f"{path}: {int(row['masked'])} masked units of layer {row['layer']}, order {row['order']}, attack "
                f"{row['attack']} come twice; give each once"
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in ordered:
        writer.writerow([_field(row[name], name, path) for name in COLUMNS])
    write_atomically(path, text.getvalue().encode())


def read_masking(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the rows by column.

    Args:
        path: A file that :func:`write_masking` wrote.

    Returns:
        For each of :data:`COLUMNS` an array with one entry per row: strings for ``layer``, ``order`` and ``attack``,
        int64 for ``masked``, ``units`` and ``images``, float64 for the rates, nan where the field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field holds what its column cannot.
    """
    fields = read_fields(path, COLUMNS, REMEDY)
    return {name: _column(name, fields[name], path) for name in COLUMNS}


def _curve(row: Mapping[str, Any]) -> tuple[str, ...]:
    return str(row["layer"]), str(row["attack"]), str(row["order"])


def _field(value: Any, name: str, path: str | Path) -> Any:
    """Return what is written for a value."""
    if name in TEXTS:
        return str(value)
    if name in COUNTS:
        if int(value) != value or value < 0:
            raise ValueError(f"{path}: {name} must be a whole number of at least 0, got {value!r}")
        return int(value)
    return number_field(value, name, path)


def _column(name: str, fields: tuple[str, ...], path: str | Path) -> NDArray[Any]:
    """Return a column's fields as an array."""
    if name in TEXTS:
        unknown = sorted(set(fields) - set(ORDERS)) if name == "order" else []
        if unknown:
            raise ValueError(f"{path}, column order: {unknown[0]!r} is none of {', '.join(ORDERS)}; {REMEDY}")
        return np.array(fields, dtype=str)
    try:
        if name in COUNTS:
            return np.array([int(field) for field in fields], dtype=np.int64)
        return number_column(fields)
    except ValueError as error:
        raise ValueError(f"{path}, column {name}: {error}; {REMEDY}") from None
