"""A table of rows in a CSV file: which columns it has, what each may hold, and which rows are the same."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advscope.tables.atomic_file import write_atomically
from advscope.tables.csv_table import number_column, number_field, read_fields


class Column(NamedTuple):
    """What a column holds."""

    allowed: str
    """What is allowed, for the errors."""
    holds: Callable[[str], bool]
    """Whether a field is allowed."""
    field: Callable[[Any], str]
    """The field of a value."""
    array: Callable[[tuple[str, ...]], NDArray[Any]]
    """The array of a column's fields."""


def text(*choices: str) -> Column:
    """Return a column of texts; of these alone where some are given."""
    named = [choice for choice in choices if choice]
    allowed = f"one of {', '.join(named)}" + (" or empty" if "" in choices else "")
    return Column(allowed, lambda field: not choices or field in choices, str, lambda fields: np.array(fields, str))


def count() -> Column:
    """Return a column of whole numbers from 0, int64."""
    return Column(
        "a whole number of at least 0",
        lambda field: field.isascii() and field.isdecimal(),
        lambda value: str(int(value)) if isinstance(value, int | np.integer) else repr(value),
        lambda fields: np.array([int(field) for field in fields], np.int64),
    )


def flag() -> Column:
    """Return a column of 0 and 1, bool."""
    return Column(
        "0 or 1",
        lambda field: field in ("0", "1"),
        lambda value: str(int(value)) if isinstance(value, int | np.integer | np.bool_) else repr(value),
        lambda fields: np.array([field == "1" for field in fields], np.bool_),
    )


def number() -> Column:
    """Return a column of numbers, float64; empty for nan."""
    return Column("a number or empty", _is_number, _number_field, number_column)


def share() -> Column:
    """Return a column of numbers in [0, 1], float64; empty for nan."""
    return Column(
        "in [0, 1] or empty",
        lambda field: _is_number(field) and (not field or 0 <= float(field) <= 1),
        _number_field,
        number_column,
    )


def _is_number(field: str) -> bool:
    try:
        float(field or 0)
    except ValueError:
        return False
    return True


def _number_field(value: Any) -> str:
    try:
        return number_field(value, "", "")
    except ValueError:
        return repr(value)


class RowTable:
    """A table of rows with named columns.

    Args:
        columns: What each column holds, in the order of the file.
        key: Columns in which no two rows agree.
        remedy: What a reader can do where a file is damaged, for the errors.
    """

    def __init__(self, columns: Mapping[str, Column], key: Sequence[str], remedy: str) -> None:
        self.columns, self.key, self.remedy = dict(columns), tuple(key), remedy

    def write(self, path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows in the order in which they come.

        Args:
            path: File to write; an old one is replaced in one step.
            rows: Mappings with the table's columns as keys; an empty field is written for None and nan.

        Raises:
            ValueError: If a row lacks a column or has one more, holds what its column cannot, or comes twice; nothing
                is written then.
        """
        content = io.StringIO()
        writer = csv.writer(content, lineterminator="\n")
        writer.writerow(self.columns)
        seen = set()
        for row in rows:
            missing = [name for name in self.columns if name not in row]
            further = [str(name) for name in row if name not in self.columns]
            if missing or further:
                said = f"has no {', '.join(missing)}" if missing else f"has {', '.join(further)}"
                raise ValueError(f"{path}: a row {said}; each has {', '.join(self.columns)}")
            fields = {name: column.field(row[name]) for name, column in self.columns.items()}
            for name, field in fields.items():
                if not self.columns[name].holds(field):
                    raise ValueError(f"{path}: {name} must be {self.columns[name].allowed}, got {row[name]!r}")
            key = tuple(fields[name] for name in self.key)
            if key in seen:
                said = ", ".join(f"{name} {value}" for name, value in zip(self.key, key, strict=True))
                raise ValueError(f"{path}: a row comes twice ({said}); give it once")
            seen.add(key)
            writer.writerow(fields.values())
        write_atomically(path, content.getvalue().encode())

    def read(self, path: str | Path) -> dict[str, NDArray[Any]]:
        """Return a file's columns, an array with one entry per row each.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a column is missing, or a field holds what its column cannot; names the line.
        """
        fields = read_fields(path, tuple(self.columns), self.remedy)
        for name, column in self.columns.items():
            for line, field in enumerate(fields[name], start=2):
                if not column.holds(field):
                    raise ValueError(
                        f"{path}, line {line}, column {name}: must be {column.allowed}, got {field!r}; {self.remedy}"
                    )
        return {name: column.array(fields[name]) for name, column in self.columns.items()}
