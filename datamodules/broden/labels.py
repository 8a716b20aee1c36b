"""Broden's labels: which categories there are, which labels each has, and the category that a label counts in."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from advscope.concepts import Concept
from datamodules.broden.table import Row, read_table

_MOST = 2**15 - 1
"""The largest number that int16 holds."""


class Labels(NamedTuple):
    """The labels of some categories."""

    concepts: tuple[Concept, ...]
    """Every label of these categories, in the order of the numbers; of several categories it has the one, among these,
    of which it covers most."""
    numbers: dict[str, frozenset[int]]
    """The numbers of each category's labels: a label may be in several."""


def read_categories(root: Path, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the categories that are asked for, in the order of category.csv; None asks for all.

    Raises:
        FileNotFoundError: If category.csv is missing.
        ValueError: If there is no such category, or none is asked for.
    """
    path = root / "category.csv"
    known = tuple(row.cells["name"] for row in read_table(path, ("name",)))
    if wanted is None:
        wanted = known
    for name in wanted:
        if name not in known:
            raise ValueError(f"there is no category {name!r}: {path} lists {', '.join(known) or 'none'}")
    if not wanted:
        raise ValueError(
            f"categories must name at least one of {', '.join(known) or 'those in ' + str(path)}, got none"
        )
    return tuple(name for name in known if name in wanted)


def read_labels(root: Path, categories: Sequence[str]) -> Labels:
    """Return the labels of these categories, from label.csv and the c_*.csv.

    Raises:
        FileNotFoundError: If one of these tables is missing.
        ValueError: If one is no such table, a number repeats or is too large, or label.csv and c_*.csv contradict.
    """
    names: dict[int, str] = {}
    for row, number in _numbered(root / "label.csv", ("name",)):
        if number in names:
            raise ValueError(f"{row.where}: number {number} is there already, as {names[number]!r}: number labels once")
        names[number] = row.cells["name"]

    # (coverage, category) of each label; where two cover the same, the first in category.csv stays.
    primary: dict[int, tuple[float, str]] = {}
    numbers: dict[str, frozenset[int]] = {}
    for category in categories:
        members = set()
        for row, number in _numbered(root / f"c_{category}.csv", ("name", "coverage")):
            if names.get(number) != row.cells["name"]:
                stated = f"calls it {names[number]!r}" if number in names else "does not list it"
                raise ValueError(
                    f"{row.where}: number {number} is {row.cells['name']!r}, but label.csv {stated}:"
                    " take all tables from one version of the data"
                )
            if number in members:
                raise ValueError(f"{row.where}: number {number} is there already: list each label once")
            members.add(number)
            coverage = _coverage(row)
            if number not in primary or coverage > primary[number][0]:
                primary[number] = coverage, category
        numbers[category] = frozenset(members)
    concepts = tuple(Concept(number, names[number], primary[number][1]) for number in sorted(primary))
    return Labels(concepts, numbers)


def _numbered(path: Path, columns: Sequence[str]) -> list[tuple[Row, int]]:
    """Return the rows of a table of labels with their numbers; 0, the unlabelled, is left out where it is listed."""
    rows = [(row, row.number("number")) for row in read_table(path, ("number", *columns))]
    for row, number in rows:
        if number > _MOST:
            raise ValueError(f"{row.where}: number must be at most {_MOST:,}, got {number}: number the labels densely")
    return [(row, number) for row, number in rows if number]


def _coverage(row: Row) -> float:
    try:
        coverage = float(row.cells["coverage"])
    except ValueError:
        coverage = math.nan
    if not 0 <= coverage < math.inf:
        raise ValueError(f"{row.where}: coverage must be a number from 0, got {row.cells['coverage']!r}")
    return coverage
