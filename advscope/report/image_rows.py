"""The per-image rows of one evaluation, as a file: ``RUN/results/NAME/images.csv``."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.summary import REMEDY
from advscope.tables.atomic_file import atomic_text
from advscope.tables.csv_table import number_column, number_field, read_fields

INTEGERS = ("label", "prediction", "target", "adversarial_prediction")
FLAGS = ("eligible", "attacked")
FIXED = ("index", "attack", *INTEGERS, *FLAGS)
"""Columns that every file has, in this order; each further one is a measure's."""


def write_columns(path: str | Path, attacks: Mapping[str, Mapping[str, Any]]) -> None:
    """Write one row per image and attack, sorted by attack, then by index.

    Args:
        path: File to write; an old one is replaced in one step.
        attacks: For each attack its columns, sequences of one length: those of :data:`FIXED` but ``attack``, and the
            numbers of each measure, as ``psr/suppression_share``. What is None or nan does not count: its field stays
            empty. Measures keep the order in which the sorted attacks first name them.

    Raises:
        ValueError: If a fixed column is missing or a field is no number, or an image comes twice for one attack.
    """
    ordered = sorted(attacks)
    needed = [name for name in FIXED if name != "attack"]
    for attack in ordered:
        missing = [name for name in needed if name not in attacks[attack]]
        if missing:
            raise ValueError(f"{path}: attack {attack} has no {', '.join(missing)}; each needs {', '.join(FIXED)}")
    measures = [name for name in dict.fromkeys(name for each in ordered for name in attacks[each]) if name not in FIXED]
    with atomic_text(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FIXED, *measures])
        for attack in ordered:
            columns = attacks[attack]
            index = np.asarray(columns["index"], dtype=np.int64)
            order = np.argsort(index, kind="stable")
            twice = order[1:][index[order[1:]] == index[order[:-1]]]
            if len(twice):
                raise ValueError(f"{path}: image {index[twice[0]]} comes twice for attack {attack}; give it once")
            for place in order.tolist():
                fixed: list[Any] = [int(index[place]), attack]
                fixed += [int(columns[name][place]) for name in (*INTEGERS, *FLAGS)]
                numbers = (columns[name][place] if name in columns else None for name in measures)
                fields = (number_field(value, name, path) for name, value in zip(measures, numbers, strict=True))
                writer.writerow([*fixed, *fields])


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows that are given one by one, as :func:`write_columns` writes columns.

    Args:
        path: File to write; an old one is replaced in one step.
        rows: Mappings with the keys of :data:`FIXED`, and a number for each measure.

    Raises:
        ValueError: If a row lacks a fixed column or holds no number, or an image comes twice for one attack.
    """
    by_attack: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        missing = [name for name in FIXED if name not in row]
        if missing:
            raise ValueError(f"{path}: a row has no {', '.join(missing)}; each needs {', '.join(FIXED)}")
        by_attack.setdefault(str(row["attack"]), []).append(row)
    attacks = {}
    for attack, listed in by_attack.items():
        names = dict.fromkeys(name for row in sorted(listed, key=lambda row: int(row["index"])) for name in row)
        attacks[attack] = {name: [row.get(name) for row in listed] for name in names}
    write_columns(path, attacks)


def read_columns(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the rows by column.

    Args:
        path: A file that :func:`write_columns` wrote.

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
