"""Broden's tables written: index.csv, label.csv, category.csv and the c_*.csv."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple


class CountedLabel(NamedTuple):
    """A label in one category, and how much of the images has it there."""

    number: int
    name: str
    category: str
    frequency: int
    """Number of images with it."""
    coverage: float
    """Sum over the images of the share of pixels with it."""


def write_index(folder: Path, categories: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write index.csv, of rows that hold image, split, ih, iw, sh, sw, and then a cell per category."""
    _write(folder / "index.csv", ("image", "split", "ih", "iw", "sh", "sw", *categories), rows)


def write_label_tables(folder: Path, categories: Sequence[str], labels: Sequence[CountedLabel]) -> None:
    """Write label.csv, category.csv and a c_*.csv per category.

    Labels keep their numbers, where Broden would number by falling frequency; the codes of c_*.csv follow that rule. A
    label that is in several categories has an entry for each; label.csv names the most frequent first, as Broden's.
    """
    numbered: dict[int, list[CountedLabel]] = {}
    for label in labels:
        numbered.setdefault(label.number, []).append(label)
    rows = []
    for number in sorted(numbered):
        entries = sorted(numbered[number], key=lambda label: -label.frequency)
        stated = ";".join(f"{label.category}({label.frequency})" for label in entries)
        frequency, coverage = sum(label.frequency for label in entries), sum(label.coverage for label in entries)
        rows.append((number, entries[0].name, stated, frequency, repr(coverage), ""))
    _write(folder / "label.csv", ("number", "name", "category", "frequency", "coverage", "syns"), rows)

    summary = []
    for category in categories:
        members = sorted(
            (label for label in labels if label.category == category),
            key=lambda label: (-label.frequency, label.number),
        )
        numbers = [label.number for label in members]
        summary.append((category, min(numbers), max(numbers), len(numbers), sum(label.frequency for label in members)))
        _write(
            folder / f"c_{category}.csv",
            ("code", "number", "name", "frequency", "coverage"),
            (
                (code, label.number, label.name, label.frequency, repr(label.coverage))
                for code, label in enumerate(members, start=1)
            ),
        )
    _write(folder / "category.csv", ("name", "first", "last", "count", "frequency"), summary)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
