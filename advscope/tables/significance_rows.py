"""The significance of sensitive units, as a file: ``RUN/results/NAME/significance.csv``."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from advscope.tables.row_table import RowTable, count, flag, share, text
from advscope.tables.unit_rows import REMEDY

METHODS = ("", "exact", "normal")
"""How ``p_approximate`` was found; nothing where it is undefined."""

_TABLE = RowTable(
    {
        "layer": text(),
        "top": count(),
        "units": count(),
        "regular": flag(),
        "images": count(),
        "p": share(),
        "p_approximate": share(),
        "method": text(*METHODS),
        "p_corrected": share(),
        "p_matched": share(),
        "p_matched_corrected": share(),
        "undefined": count(),
    },
    key=("layer", "regular", "top"),
    remedy=REMEDY,
)

COLUMNS = tuple(_TABLE.columns)
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
    _TABLE.write(path, rows)


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
    return _TABLE.read(path)
