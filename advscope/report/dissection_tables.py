"""The tables of p-values and of masked units, read by column."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.tables.csv_table import number_column, read_fields

Table = Mapping[str, NDArray[Any]]
"""A table's columns by name, one entry per row."""

_SIGNIFICANCE = (
    "layer", "top", "units", "regular", "images", "p", "p_approximate", "method", "p_corrected", "p_matched",
    "p_matched_corrected", "undefined",
)  # fmt: skip
_MASKING = (
    "layer", "order", "masked", "units", "attack", "images", "clean_accuracy", "clean_low", "clean_high",
    "robust_accuracy", "robust_low", "robust_high",
)  # fmt: skip
_TEXTS = ("layer", "method", "order", "attack")
_INTEGERS = ("top", "units", "regular", "images", "undefined", "masked")


def read_significance(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the p-values of sensitive units, one row per layer, number of top units and choice of units.

    Args:
        path: ``RUN/results/NAME/significance.csv``.

    Returns:
        For each column an array: strings for ``layer`` and ``method``, int64 for ``top``, ``units``, ``regular``,
        ``images`` and ``undefined``, float64 for the p-values, nan where the field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field holds what its column cannot.
    """
    return _read(path, _SIGNIFICANCE, "callbacks.DissectionMonitor")


def read_masking(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read clean and robust accuracy by the number of masked units.

    Args:
        path: ``RUN/results/NAME/masking.csv``.

    Returns:
        For each column an array: strings for ``layer``, ``order`` and ``attack``, int64 for ``masked``, ``units`` and
        ``images``, float64 for rates and the ends of their 95% intervals, nan where the field is empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, or a field holds what its column cannot.
    """
    return _read(path, _MASKING, "callbacks.UnitMaskingMonitor")


def _read(path: str | Path, columns: Sequence[str], monitor: str) -> dict[str, NDArray[Any]]:
    """Return a file's columns."""
    remedy = f"make it anew with `python evaluate.py --run RUN` and {monitor} in the evaluation"
    fields = read_fields(path, columns, remedy)
    table: dict[str, NDArray[Any]] = {}
    for name in columns:
        try:
            if name in _TEXTS:
                table[name] = np.array(fields[name], dtype=str)
            elif name in _INTEGERS:
                table[name] = np.array([int(field) for field in fields[name]], dtype=np.int64)
            else:
                table[name] = number_column(fields[name])
        except ValueError as error:
            raise ValueError(f"{path}, column {name}: {error}; {remedy}") from None
    return table
