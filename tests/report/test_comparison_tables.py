"""Tests of the tables of a comparison."""

import csv
import io
import math
from pathlib import Path

from rich.console import Console

from advscope.intervals import Estimate
from advscope.report import Comparison, Line, compare, to_csv, to_markdown, to_rich

SMALL = Comparison(
    evaluation="standard",
    data="ConceptShapes test, n = 10",
    runs=("natural", "mad|ry [new]"),
    lines=(
        Line("test/clean/accuracy", True, (Estimate(0.9, 0.8, 0.95, 10), None), (None,)),
        Line(
            "test/pgd/is/score_clean",
            True,
            (Estimate(0.5, 0.4, 0.6, 8, 1), Estimate(math.nan, math.nan, math.nan, 0, 3)),
            (Estimate(0.125, 0.0625, 0.1875, 7),),
        ),
        Line(
            "test/pgd/bias/fc/raw", False, (Estimate(12.5, 12, 13, 8), Estimate(2, 1, 3, 8)), (Estimate(-1, -2, 1, 7),)
        ),
    ),
    notes=("pgd: 7 images are attacked in every run",),
)


def test_csv_by_hand() -> None:
    assert to_csv(SMALL) == (
        "key,run,value,low,high,n,undefined,difference,difference_low,difference_high,difference_n\n"
        "test/clean/accuracy,natural,0.9,0.8,0.95,10,0,,,,\n"
        "test/clean/accuracy,mad|ry [new],,,,,,,,,\n"
        "test/pgd/is/score_clean,natural,0.5,0.4,0.6,8,1,,,,\n"
        "test/pgd/is/score_clean,mad|ry [new],,,,0,3,0.125,0.0625,0.1875,7\n"
        "test/pgd/bias/fc/raw,natural,12.5,12,13,8,0,,,,\n"
        "test/pgd/bias/fc/raw,mad|ry [new],2,1,3,8,0,-1,-2,1,7\n"
    )


def test_csv_comes_back(runs: tuple[Path, Path]) -> None:
    comparison = compare(runs)
    rows = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert len(rows) == len(comparison.runs) * len(comparison.lines)
    for line, row in zip(comparison.lines, rows[1::2], strict=True):
        assert float(row["value"]) == line.figures[1].value
        assert float(row["difference_low"]) == line.differences[0].low


def test_markdown_by_hand() -> None:
    lines = to_markdown(SMALL).splitlines()
    assert lines[2:] == [
        "| figure | natural | mad\\|ry [new] | mad\\|ry [new] - natural |",
        "| --- | ---: | ---: | ---: |",
        "| test/clean/accuracy | 0.900 [0.800, 0.950] |  |  |",
        "| test/pgd/is/score_clean | 0.500 [0.400, 0.600] | - | +0.125 (n=7) [0.062, 0.188] \\* |",
        "",
        "- pgd: 7 images are attacked in every run",
    ]


def test_markdown_of_everything_has_the_rest() -> None:
    # An interval that holds 0 has no star.
    assert (
        "| test/pgd/bias/fc/raw | 12.500 [12.000, 13.000] | 2.000 [1.000, 3.000] | -1.000 (n=7) [-2.000, 1.000] |"
        in (to_markdown(SMALL, everything=True))
    )


def printed(comparison: Comparison, width: int, everything: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(to_rich(comparison, everything))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_terminal_shows_sections_names_and_numbers() -> None:
    text = printed(SMALL, 160)
    for part in ("mad|ry [new] - natural", "is, pgd", "score_clean", "+0.125 (n=7) [0.062,0.188] *", "7 images are"):
        assert part in text
    assert "bias, pgd" not in text
    assert "bias, pgd" in printed(SMALL, 160, everything=True)


def test_terminal_of_80_columns_loses_nothing(runs: tuple[Path, Path]) -> None:
    comparison = compare(runs)
    narrow = printed(comparison, 80)
    assert max(map(len, narrow.splitlines())) <= 80
    # Every word of the wide table stands in the narrow one, folded differently.
    wide = printed(comparison, 300)
    assert sorted(narrow.replace("─", "").split()) == sorted(wide.replace("─", "").split())
