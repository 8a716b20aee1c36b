"""Tables in CSV files, read by the names of their columns."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """A row of a table, below its header."""

    where: str
    """File, row (from 0) and line (from 1), to begin an error with."""
    cells: dict[str, str]
    """Content by column."""

    def number(self, column: str) -> int:
        """Return a cell as a whole number from 0.

        Raises:
            ValueError: If it is none; names the file, the row and the column.
        """
        if not is_number(self.cells[column]):
            raise ValueError(f"{self.where}: {column} must be a whole number from 0, got {self.cells[column]!r}")
        return int(self.cells[column])


def is_number(text: str) -> bool:
    """Whether a text is a whole number from 0: decimal digits and nothing else.

    Example:
        >>> [is_number(text) for text in ("314", "0", "", "-1", "3.0", "dtd/g_0106_color.png")]
        [True, True, False, False, False, False]
    """
    # Broden asks it of 200,000 entries, and a regular expression would take three times as long.
    return text.isascii() and text.isdigit() and len(text) <= 18


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a table.

    Args:
        path: A CSV file in UTF-8 whose first line names the columns, in any order.
        columns: Those that it must have; others are read as well.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no table, lacks a column or names one twice, or a row has another number of cells.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: set root to a folder in Broden's layout (docs/broden.md), or complete that folder"
        )
    rows: list[Row] = []
    try:
        # Tables saved by spreadsheets begin with a mark of their encoding, which utf-8-sig skips.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_header(path, header, columns)
            for cells in reader:
                if not cells:  # a blank line is no row
                    continue
                where = f"{path}, row {len(rows)} (line {reader.line_num})"
                if len(cells) != len(header):
                    raise ValueError(
                        f"{where}: {len(cells)} cells where the header names {len(header)} columns: correct the row"
                    )
                rows.append(Row(where, dict(zip(header, cells, strict=True))))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is no readable CSV table ({reason}): replace it") from error
    return rows


def _check_header(path: Path, header: list[str], columns: Sequence[str]) -> None:
    found = ", ".join(header) or "none"
    for column in columns:
        if column not in header:
            raise ValueError(
                f"{path} has no column {column!r} (its columns: {found}): name the column in the first line"
            )
    if len(set(header)) != len(header):
        repeated = next(column for column in header if header.count(column) > 1)
        raise ValueError(f"{path} names the column {repeated!r} more than once: keep one of them")
