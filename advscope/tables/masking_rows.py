"""What masking a layer's units does to a network, as a file: ``RUN/results/NAME/masking.csv``."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from advscope.tables.row_table import RowTable, count, share, text

ORDERS = ("sensitive", "interpretable", "random")
"""Which units are masked first."""

_TABLE = RowTable(
    {
        "layer": text(),
        "order": text(*ORDERS),
        "masked": count(),
        "units": count(),
        "attack": text(),
        "images": count(),
        "clean_accuracy": share(),
        "clean_low": share(),
        "clean_high": share(),
        "robust_accuracy": share(),
        "robust_low": share(),
        "robust_high": share(),
    },
    key=("layer", "attack", "order", "masked"),
    remedy="make it anew with `python evaluate.py --run RUN` and callbacks.UnitMaskingMonitor in the evaluation",
)

COLUMNS = tuple(_TABLE.columns)
"""Columns of every file, in this order."""


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
    curves = {key: place for place, key in enumerate(dict.fromkeys(map(_curve, listed)))}
    _TABLE.write(path, sorted(listed, key=lambda row: (curves[_curve(row)], row.get("masked", 0))))


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
    return _TABLE.read(path)


def _curve(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in ("layer", "attack", "order"))
