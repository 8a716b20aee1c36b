"""Tables as CSV files: numbers with the digits that tell any two float32 apart, errors that name file and line."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 9
"""Significant digits of a written number: those that tell any two float32 apart."""

Table = Mapping[str, NDArray[Any]]
"""A table's columns by name, one entry per row."""


def number_field(value: Any, name: str, path: str | Path) -> str:
    """Return a number as a field, empty for None and nan.

    Raises:
        ValueError: If it is no number.
    """
    if value is None:
        return ""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{path}: {name} must be a number, got {value!r}") from None
    return "" if math.isnan(number) else repr(float(f"{number:.{DIGITS}g}"))


def read_fields(path: str | Path, needed: Sequence[str], remedy: str) -> dict[str, tuple[str, ...]]:
    """Read a file's fields by column.

    Args:
        path: File to read.
        needed: Columns that it must have.
        remedy: What the reader can do, for the errors.

    Returns:
        For each column, in the file's order, its fields.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text, a column is missing, or a line has too few or too many fields.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            rows = [row for row in reader if row]
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; {remedy}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV text ({error}); {remedy}") from None
    missing = [name for name in needed if name not in header]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}; {remedy}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"{path}, line {number}: {len(row)} fields and not {len(header)}; {remedy}")
    fields = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    return dict(zip(header, fields, strict=True))


def number_column(fields: Sequence[str]) -> NDArray[np.float64]:
    """Return fields as numbers, nan where they are empty; raises ValueError for what is no number."""
    return np.array([float(field) if field else math.nan for field in fields], dtype=np.float64)
