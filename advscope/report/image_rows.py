"""The per-image rows of one evaluation, as a file: ``RUN/results/NAME/images.csv``."""

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.atomic_file import write_atomically
from advscope.report.csv_table import number_column, number_field, read_fields
from advscope.report.summary import REMEDY

INTEGERS = ("label", "prediction", "target", "adversarial_prediction")
FLAGS = ("eligible", "attacked")
FIXED = ("index", "attack", *INTEGERS, *FLAGS)
"""Columns that every file has, in this order; each further one is a measure's."""


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one row per image and attack, sorted by attack, then by index.

    Args:
        path: File to write; an old one is replaced in one step.
        rows: Mappings with the keys of :data:`FIXED`, and a number for each measure, as ``psr/suppression_share``.
            A measure that is missing, None or nan does not count: its field stays empty. Measures keep the order in
            which the sorted rows first name them.

    Raises:
        ValueError: If a row lacks a fixed column or holds no number, or an image comes twice for one attack.
    """
    listed = list(rows)
    for row in listed:
        missing = [name for name in FIXED if name not in row]
        if missing:
            raise ValueError(f"{path}: a row has no {', '.join(missing)}; each needs {', '.join(FIXED)}")
    ordered = sorted(listed, key=lambda row: (str(row["attack"]), int(row["index"])))
    for one, other in pairwise(ordered):
        if (str(one["attack"]), int(one["index"])) == (str(other["attack"]), int(other["index"])):
            raise ValueError(f"{path}: image {int(one['index'])} comes twice for attack {one['attack']}; give it once")
    measures = [name for name in dict.fromkeys(name for row in ordered for name in row) if name not in FIXED]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIXED, *measures])
    for row in ordered:
        fixed: list[Any] = [int(row["index"]), str(row["attack"])]
        fixed += [int(row[name]) for name in (*INTEGERS, *FLAGS)]
        writer.writerow([*fixed, *(number_field(row.get(name), name, path) for name in measures)])
    write_atomically(path, text.getvalue().encode())


def read_columns(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the rows by column.

    Args:
        path: A file that :func:`write_rows` wrote.

    Returns:
        For each column, in the file's order, an array with one entry per row: strings for ``attack``, int64 for
        ``index``, labels and predictions, bool for ``eligible`` and ``attacked``, float64 for measures, nan where the
        field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field is no number.
    """
    fields = read_fields(path, FIXED, REMEDY)
    return {name: _column(name, values, path) for name, values in fields.items()}


def read_header(path: str | Path) -> list[str]:
    """Return the names of the columns, without reading the rows; raises as :func:`read_columns`."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; {REMEDY}") from None


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Read the rows one by one, as Python values; as :func:`read_columns` otherwise."""
    columns = read_columns(path)
    names = list(columns)
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(names, row, strict=True)) for row in values]


def _column(name: str, values: tuple[str, ...], path: str | Path) -> NDArray[Any]:
    """Return a column's fields as an array."""
    if name == "attack":
        return np.array(values, dtype=str)
    try:
        if name in FIXED:
            integers = np.array([int(value) for value in values], dtype=np.int64)
            return integers.astype(bool) if name in FLAGS else integers
        return number_column(values)
    except ValueError as error:
        raise ValueError(f"{path}, column {name}: {error}; {REMEDY}") from None
