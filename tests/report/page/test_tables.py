"""Tests of the page's tables."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from advscope.intervals import Estimate
from advscope.report import Comparison, Line
from advscope.report.page.tables import figure_table, run_table, settings_table, unit_table
from advscope.report.run_results import read_all


def line(difference: Estimate | None, key: str = "test/pgd/is/score_clean", main: bool = True) -> Line:
    return Line(key, main, (Estimate(0.5, 0.4, 0.6, 8, 1), Estimate(math.nan, math.nan, math.nan, 0, 3)), (difference,))


def table(*lines: Line) -> str:
    return figure_table(Comparison("standard", "data", ("one", "<other>"), lines, ()))


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_figures_have_interval_and_n() -> None:
    said = text(table(line(None)))
    assert "0.500 [0.400, 0.600] n = 8, 1 undefined" in said
    assert "- n = 0, 3 undefined" in said
    assert "&lt;other&gt; minus one" in said


@pytest.mark.parametrize(
    ("difference", "said", "marked"),
    [
        (Estimate(0.125, 0.0625, 0.1875, 7), "+0.125 [0.062, 0.188] \u25b2 above 0 n = 7", 'class=up>'),
        (Estimate(-0.125, -0.1875, -0.0625, 7), "-0.125 [-0.188, -0.062] \u25bc below 0 n = 7", 'class=down>'),
        (Estimate(0.125, -0.0625, 0.3125, 7), "+0.125 [-0.062, 0.312] n = 7", None),
        (Estimate(0.125, 0.0, 0.25, 7), "+0.125 [0.000, 0.250] n = 7", None),
        (Estimate(0.125, math.nan, math.nan, 1), "+0.125 n = 1", None),
    ],
)  # fmt: skip
def test_a_difference_is_marked_where_its_interval_leaves_out_0(
    difference: Estimate, said: str, marked: str | None
) -> None:
    html = table(line(difference))
    assert said in text(html)
    assert ("<mark" in html) == (marked is not None)
    assert marked is None or marked in html


def test_what_is_not_main_is_folded_away() -> None:
    html = table(line(None), line(None, "test/pgd/psr/kendall", main=False))
    assert html.count("<tbody class=more>") == 2  # the section's heading, and the figure
    assert html.index("score_") < html.index("class=more")


def test_names_are_text(runs: tuple[Path, Path]) -> None:
    read = read_all(runs, "standard")
    read[0] = read[0]._replace(name="<script>")
    read[1].summary["settings"]["<img src=x>"] = {"deep": ["<b>"]}

    assert "&lt;script&gt;" in run_table(read)
    settings = settings_table(read)
    assert "<script>" not in settings + run_table(read)
    assert "<img" not in settings
    assert "&lt;img src=x&gt;.deep[0]" in settings.replace("<wbr>", "")
    assert "&lt;b&gt;" in settings


def test_settings_that_are_the_same_are_left_out(runs: tuple[Path, Path]) -> None:
    read = read_all(runs, "standard")
    assert settings_table(read) == ""
    read[1].summary["settings"]["model"]["init_args"]["attacks"]["fgsm"]["eps"] = 0.25
    said = text(settings_table(read).replace("<wbr>", ""))
    assert "model.init_args.attacks.fgsm.eps" in said
    assert "0.25" in said
    assert "pgd20" not in said


def test_units_are_counted_by_layer(runs: tuple[Path, Path]) -> None:
    found = {
        "layer": np.array(["a", "a", "a", "b"]),
        "kind": np.array(["regular", "zero", "regular", "maximum"]),
        "concept": np.array(["red", "blue", "red", ""]),
        "detector": np.array([True, False, True, False]),
    }
    said = text(unit_table(read_all(runs, "standard"), [None, found]))
    assert "demo-madry a 3 1 0 2 1" in said
    assert "demo-madry b 1 0 1 0 0" in said
    assert "demo-natural" not in said
