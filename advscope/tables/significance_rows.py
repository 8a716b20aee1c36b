"""Whether the most sensitive units are interpretable, as a file: ``RUN/results/NAME/significance.csv``."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.tables.atomic_file import write_atomically
from advscope.tables.csv_table import number_column, number_field, read_fields
from advscope.tables.unit_rows import REMEDY

METHODS = ("", "exact", "normal")
"""How ``p_approximate`` was found; nothing where it is undefined."""

TEXTS = ("layer", "method")
COUNTS = ("top", "units", "regular", "images", "undefined")
COLUMNS = (
    "layer", "top", "units", "regular", "images", "p", "p_approximate", "method", "p_corrected", "p_matched",
    "p_matched_corrected", "undefined",
)  # fmt: skip
"""Columns of every file, in this order."""


def write_significances(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one row per layer, choice of units and N, in the order in which they come.

    Args:
        path: File to write; an old one is replaced in one step.
        rows: Mappings with the keys of :data:`COLUMNS`: ``layer`` is a name, ``method`` one of :data:`METHODS`,
            ``regular`` 0 (all units) or 1 (regular units alone), ``top`` (N), ``units``, ``images`` and ``undefined``
            are counts, the rest numbers in [0, 1]; an empty field is written for None or nan.

    Raises:
        ValueError: If a row lacks a column or has one more, holds what its column cannot, or comes twice; nothing is
            written then.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    seen = set()
    for row in rows:
        missing = [name for name in COLUMNS if name not in row]
        further = [str(name) for name in row if name not in COLUMNS]
        if missing or further:
            said = f"has no {', '.join(missing)}" if missing else f"has {', '.join(further)}"
            raise ValueError(f"{path}: a row {said}; each has {', '.join(COLUMNS)}")
        fields = [_field(row[name], name, path) for name in COLUMNS]
        for name, field in zip(COLUMNS, fields, strict=True):
            wrong = _wrong(name, field)
            if wrong:
                raise ValueError(f"{path}: {name} {wrong}")
        key = (row["layer"], int(row["regular"]), int(row["top"]))
        if key in seen:
            raise ValueError(f"{path}: top {key[2]} of layer {key[0]} with regular {key[1]} comes twice; give it once")
        seen.add(key)
        writer.writerow(fields)
    write_atomically(path, text.getvalue().encode())


def read_significances(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the tests by column.

    Args:
        path: File that :func:`write_significances` wrote.

    Returns:
        For each of :data:`COLUMNS` an array with one entry per row: strings for ``layer`` and ``method``, int64 for
        the counts, bool for ``regular``, float64 for the rest, nan where the field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field holds what its column cannot; the line is named.
    """
    fields = read_fields(path, COLUMNS, REMEDY)
    for name in COLUMNS:
        for line, field in enumerate(fields[name], start=2):
            wrong = _wrong(name, field)
            if wrong:
                raise ValueError(f"{path}, line {line}, column {name}: {wrong}; {REMEDY}")
    return {name: _column(name, fields[name]) for name in COLUMNS}


def _field(value: Any, name: str, path: str | Path) -> str:
    """Return what is written for a value."""
    if name in TEXTS:
        return str(value)
    if name in COUNTS:
        return str(int(value)) if isinstance(value, int | np.integer) else repr(value)
    return number_field(value, name, path)


def _wrong(name: str, field: str) -> str:
    """Return what is wrong with a field, nothing where it is right."""
    if name == "layer":
        return ""
    if name == "method":
        return "" if field in METHODS else f"must be exact, normal or empty, got {field!r}"
    if name == "regular":
        return "" if field in ("0", "1") else f"must be 0 or 1, got {field!r}"
    if name in COUNTS:
        return "" if field.isdecimal() else f"must be a count, got {field!r}"
    try:
        return "" if not field or 0 <= float(field) <= 1 else f"must be in [0, 1] or empty, got {field!r}"
    except ValueError:
        return f"must be in [0, 1] or empty, got {field!r}"


def _column(name: str, fields: tuple[str, ...]) -> NDArray[Any]:
    """Return a column's fields as an array."""
    if name in TEXTS:
        return np.array(fields, dtype=str)
    if name in COUNTS:
        return np.array([int(field) for field in fields], dtype=bool if name == "regular" else np.int64)
    return number_column(fields)
