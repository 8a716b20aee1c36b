"""Tests of the tables of a comparison."""

import csv
import io
import math
from pathlib import Path

from rich.console import Console

from advscope.intervals import Estimate
from advscope.report import Comparison, Line, compare, to_csv, to_markdown, to_rich
from advscope.report.comparison import is_main
from advscope.report.page.tables import figure_table
from advscope.report.score_columns import chance_behind_score

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


def with_chance() -> Comparison:
    """A score of two runs, its controls and its chance level, which the second run does not have."""
    figure, level = Estimate(0.8, 0.75, 0.85, 8), Estimate(0.5477, 0.5477, 0.5477, 8)
    lines = [
        Line(f"test/pgd/is/{name}", True, (figure, figure), (None,))
        for name in ("score_clean", "score_clean_noise", "score_clean_gradcam", "excess_clean")
    ]
    lines.append(Line("test/pgd/is/chance_clean", True, (level, None), (None,)))
    return SMALL._replace(lines=tuple(lines))


def test_scores_stand_beside_their_chance_level() -> None:
    text = to_markdown(with_chance())
    for name in ("score_clean", "score_clean_noise"):
        assert f"| test/pgd/is/{name} | 0.800 [0.750, 0.850] (chance 0.548) | 0.800 [0.750, 0.850] |  |" in text
    # The chance level of another explainer's mask is another, and no level belongs to the excess.
    assert text.count("(chance") == 2
    assert printed(with_chance(), 160).count("(chance 0.548)") == 2
    assert "chance" not in to_markdown(SMALL)


def test_a_page_too_has_the_chance_level_in_the_scores_cell() -> None:
    html = figure_table(with_chance())
    assert html.count("<small>n = 8</small><small>chance 0.548</small>") == 2


def test_the_short_table_leaves_out_further_quantiles() -> None:
    assert is_main("test/pgd/is/score_clean_gradcam")
    assert not is_main("test/pgd/is/score_clean_at_60")
    assert not is_main("is/excess_adversarial_gradcam_at_80")


def test_chance_stands_behind_its_score_in_every_order() -> None:
    names = ["is/chance_clean_at_60", "index", "is/score_clean", "is/score_clean_at_60", "is/chance_clean", "size/l0"]
    assert chance_behind_score(names) == [
        "index", "is/score_clean", "is/chance_clean", "is/score_clean_at_60", "is/chance_clean_at_60", "size/l0"
    ]  # fmt: skip
    assert chance_behind_score(["is/chance_clean", "index"]) == ["is/chance_clean", "index"]
