"""What a dissection found in each unit of a network, as a file: ``RUN/results/NAME/units.csv``."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from advscope.tables.csv_table import Table
from advscope.tables.row_table import RowTable, count, flag, number, text

KINDS = ("regular", "zero", "maximum")
"""What a unit's threshold is: a value in between, 0, or the largest activation itself."""

Units = Table
"""One run's units by column, as :func:`read_units` returns them."""

REMEDY = "make it anew with `python evaluate.py --run RUN` and callbacks.DissectionMonitor in the evaluation"

_TABLE = RowTable(
    {
        "layer": text(),
        "unit": count(),
        "threshold": number(),
        "maximum": number(),
        "kind": text(*KINDS),
        "concept": text(),
        "category": text(),
        "iou": number(),
        "iou_low": number(),
        "iou_high": number(),
        "detector": flag(),
        "interpretability": number(),
        "sensitivity": number(),
        "sensitivity_low": number(),
        "sensitivity_high": number(),
        "sensitivity_all": number(),
        "area": number(),
        "adversarial_concept": text(),
        "adversarial_category": text(),
        "adversarial_iou": number(),
    },
    key=("layer", "unit"),
    remedy=REMEDY,
)

COLUMNS = tuple(_TABLE.columns)
"""Columns of every file, in this order."""


def write_units(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one row per unit: layers in the order in which they first come, the units of each by number.

    Args:
        path: File to write; an old one is replaced in one step.
        rows: Mappings with the keys of :data:`COLUMNS`: ``layer``, ``concept``, ``category`` and those of adversarial
            images are names (the latter four empty where a unit has no concept), ``unit`` counts from 0, ``kind`` is
            one of :data:`KINDS`, ``detector`` says whether the unit detects its concept; the rest are numbers, and an
            empty field is written for None or nan.

    Raises:
        ValueError: If a row lacks a column or has one more, holds what its column cannot, or a unit comes twice;
            nothing is written then.
    """
    listed = list(rows)
    order = {layer: place for place, layer in enumerate(dict.fromkeys(str(row.get("layer")) for row in listed))}
    _TABLE.write(path, sorted(listed, key=lambda row: (order[str(row.get("layer"))], row.get("unit", 0))))


def read_units(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the units by column.

    Args:
        path: A file that :func:`write_units` wrote.

    Returns:
        For each of :data:`COLUMNS` an array with one entry per unit: strings for names and ``kind``, int64 for
        ``unit``, bool for ``detector``, float64 for the rest, nan where the field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field holds what its column cannot.
    """
    return _TABLE.read(path)
