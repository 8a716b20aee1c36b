"""A comparison of runs as a table: in the terminal, as CSV, as Markdown."""

import csv
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from advscope.intervals import Estimate
from advscope.report.comparison import Comparison, Line
from advscope.report.score_columns import score_column

if TYPE_CHECKING:
    from rich.table import Table


def to_csv(comparison: Comparison) -> str:
    """Return all figures in long form: one row per figure and run, empty fields for what is undefined.

    The columns are ``key, run, value, low, high, n, undefined, difference, difference_low, difference_high,
    difference_n``; a difference is to the first run.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    own = ["value", "low", "high", "n", "undefined"]
    writer.writerow(["key", "run", *own, "difference", "difference_low", "difference_high", "difference_n"])
    for line in comparison.lines:
        for run, figure, difference in zip(comparison.runs, line.figures, (None, *line.differences), strict=True):
            fields = [""] * 5 if figure is None else [*_numbers(figure), figure.n, figure.undefined]
            fields += [""] * 4 if difference is None else [*_numbers(difference), difference.n]
            writer.writerow([line.key, run, *fields])
    return text.getvalue()


def to_markdown(comparison: Comparison, everything: bool = False) -> str:
    """Return a table with one row per figure: each run's own with its interval, and the paired differences.

    Args:
        comparison: Of any number of runs.
        everything: Whether to show all figures, and not the main ones alone.
    """
    header = ["figure", *_headings(comparison)]
    chances = chance_levels(comparison)
    rows = [[line.key, *_cells(line, chances.get(line.key, ()))] for line in _shown(comparison, everything)]
    lines = [
        f"**{comparison.evaluation}**: {comparison.data}. 95% intervals in brackets; differences are paired, over n"
        " images; \\* marks those whose interval leaves out 0.",
        "",
        _markdown_row(header),
        _markdown_row(["---", *["---:"] * (len(header) - 1)]),
        *map(_markdown_row, rows),
    ]
    if comparison.notes:
        lines += ["", *(f"- {note}" for note in comparison.notes)]
    return "\n".join(lines) + "\n"


def to_rich(comparison: Comparison, everything: bool = False) -> "Table":
    """Return the same table for the terminal, in one section per measure; arguments as for :func:`to_markdown`.

    It fits into 80 columns for two runs: intervals go to a second line where there is no room beside the value.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    caption = ["95% intervals in brackets; differences are paired; * = the interval leaves out 0", *comparison.notes]
    title = f"{comparison.evaluation}: {comparison.data}"
    table = Table(title=escape(title), caption=escape("\n".join(caption)), caption_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("figure", no_wrap=True)
    for heading in _headings(comparison):
        table.add_column(escape(heading), justify="right", overflow="fold")
    shown, chances = _shown(comparison, everything), chance_levels(comparison)
    for before, line, after in zip([None, *shown], shown, [*shown[1:], None], strict=False):
        group = section_of(line)
        if before is None or section_of(before) != group:
            table.add_row(f"[bold]{escape(group)}[/bold]")
        cells = []
        for cell in _cells(line, chances.get(line.key, ())):
            # An interval without blanks stays on one line.
            text = escape(cell.replace(", ", ","))
            cells.append(f"[bold]{text}[/bold]" if cell.endswith("*") else text)
        table.add_row(escape(label_in_section(line)), *cells, end_section=after is None or section_of(after) != group)
    return table


def chance_levels(comparison: Comparison) -> dict[str, tuple[Estimate | None, ...]]:
    """Return for the key of each interpretability score each run's chance level, where the comparison has it."""
    figures = {line.key: line.figures for line in comparison.lines}
    found = {}
    for key in figures:
        stage, attack, name = (*key.split("/", 2), "", "")[:3]
        column = score_column(name)
        if column is not None and column.field == "score":
            level = f"{stage}/{attack}/{column.chance()}"
            if level in figures:
                found[key] = figures[level]
    return found


def show_number(value: float) -> str:
    """Return a number as a table shows it: 3 decimals, fewer from 100, 2 significant digits under 0.001, ``-`` for nan.

    Example:
        >>> [show_number(number) for number in (0.91249, -123.456, 0.00012345, 0.0, float("nan"))]
        ['0.912', '-123.5', '0.00012', '0.000', '-']
    """
    if math.isnan(value):
        return "-"
    if value == 0 or 0.001 <= abs(value) < 100:
        return f"{value:.3f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.4g}"


def leaves_out_zero(difference: Estimate) -> bool:
    """Return whether a difference has an interval, and 0 is not in it."""
    return not math.isnan(difference.low) and not difference.low <= 0 <= difference.high


def _markdown_row(cells: list[str]) -> str:
    """Return a row of a Markdown table; nothing in its cells is taken for markup."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*") for cell in cells) + " |"


def _numbers(figure: Estimate) -> list[float | str]:
    """Return value, low and high, empty where undefined."""
    return ["" if math.isnan(number) else number for number in figure[:3]]


def _shown(comparison: Comparison, everything: bool) -> list[Line]:
    """Return the lines to show."""
    return [line for line in comparison.lines if line.main or everything]


def _headings(comparison: Comparison) -> list[str]:
    """Return the heading of each column of numbers."""
    first, *others = comparison.runs
    return [first, *others, *(f"{other} - {first}" for other in others)]


def _cells(line: Line, chances: Sequence[Estimate | None] = ()) -> list[str]:
    """Return a line's figures and differences as text, each figure with its chance level where there is one."""
    cells = ["" if figure is None else _with_interval(figure) for figure in line.figures]
    for place, chance in enumerate(chances):
        if chance is not None and cells[place]:
            cells[place] += f" (chance {show_number(chance.value)})"
    for difference in line.differences:
        if difference is None:
            cells.append("")
            continue
        clear = leaves_out_zero(difference)
        sign = "+" if difference.value > 0 else ""
        value, _, interval = _with_interval(difference).partition(" ")
        cells.append(f"{sign}{value} (n={difference.n}) {interval}{' *' if clear else ''}".rstrip())
    return cells


def _with_interval(figure: Estimate) -> str:
    """Return ``value [low, high]``, the value alone where it has no interval."""
    value, low, high = map(show_number, figure[:3])
    return value if low == high == "-" else f"{value} [{low}, {high}]"


def section_of(line: Line) -> str:
    """Return the heading of the section that a line belongs to."""
    _, attack, name = (*line.key.split("/", 2), "", "")[:3]
    return "accuracy" if name.endswith("accuracy") else f"{name.split('/')[0]}, {attack}"


def label_in_section(line: Line) -> str:
    """Return what a line is called below its heading."""
    _, attack, name = (*line.key.split("/", 2), "", "")[:3]
    return f"{attack}/{name}" if name.endswith("accuracy") else name.split("/", 1)[-1]
