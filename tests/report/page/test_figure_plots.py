"""Tests of the plots of figures."""

import math
from pathlib import Path

import pytest

from advscope.intervals import Estimate
from advscope.report.page.figure_plots import accuracy_plot, bias_plot, interpretability_plot, share_plot
from advscope.report.page.plot import estimates_trace
from advscope.report.page.run_style import run_style
from advscope.report.run_results import RunResults, read_all


@pytest.fixture
def read(runs: tuple[Path, Path]) -> list[RunResults]:
    return read_all(runs, "standard")


def test_a_mark_stands_at_its_figure_with_its_interval() -> None:
    figures = [Estimate(0.5, 0.375, 0.75, 80, 3), None, Estimate(math.nan, math.nan, math.nan, 0)]
    trace = estimates_trace(1, "<b>", ["<i>", "two", "three"], figures)

    assert trace["y"] == [0.5, None, None]
    assert trace["error_y"]["array"] == [0.25, None, None]
    assert trace["error_y"]["arrayminus"] == [0.125, None, None]
    assert trace["customdata"][0] == ["0.500 [0.375, 0.750], n = 80, 3 undefined"]
    # Plotly takes tags for markup.
    assert (trace["name"], trace["x"][0]) == ("&lt;b&gt;", "&lt;i&gt;")


def test_runs_are_told_apart_by_more_than_colour() -> None:
    looks = [run_style(position) for position in range(49)]
    assert len({(look.colour, look.symbol) for look in looks}) == 49
    assert len({look.symbol for look in looks[:7]}) == len({look.pattern for look in looks[:7]}) == 7


def test_accuracies_are_those_of_the_summary(read: list[RunResults]) -> None:
    plot = accuracy_plot(read, ["fgsm", "pgd20"])
    keys = [f"test/{name}" for name in ("clean/accuracy", *(f"{a}/robust_accuracy" for a in ("fgsm", "pgd20", "all")))]
    for run, trace in zip(read, plot["data"], strict=True):
        assert trace["x"] == ["clean", "fgsm", "pgd20", "all attacks"]
        assert trace["y"] == pytest.approx([run.figures[key].value for key in keys], abs=1e-6)
    assert "all attacks" not in accuracy_plot(read, ["fgsm"])["data"][0]["x"]


def test_scores_stand_beside_their_chance_level(read: list[RunResults]) -> None:
    plot = interpretability_plot(read, "pgd20")
    assert plot is not None
    assert [trace["meta"]["run"] for trace in plot["data"]] == [0, 1, 0, 1]
    score, chance = plot["data"][1], plot["data"][3]
    assert score["y"][0] == pytest.approx(read[1].figures["test/pgd20/is/score_clean"].value, abs=1e-6)
    assert chance["y"][0] == pytest.approx(read[1].figures["test/pgd20/is/chance_clean"].value, abs=1e-6)
    assert chance["customdata"][0][0].startswith("chance level ")
    assert score["y"][1] is None  # the synthetic runs have no adversarial map
    low, high = plot["layout"]["yaxis"]["range"]
    ends = [end for run in read for key in ("score", "chance") for end in run.figures[f"test/pgd20/is/{key}_clean"][:3]]
    assert low < min(ends) < max(ends) < high


def test_bias_is_in_the_networks_order(read: list[RunResults]) -> None:
    plot = bias_plot(read, "pgd20", "raw")
    assert plot is not None
    assert plot["data"][0]["x"] == ["stem", "layer2", "layer10", "fc"]
    assert plot["data"][0]["y"][2] == pytest.approx(read[0].figures["test/pgd20/bias/layer10/raw"].value, abs=1e-6)


def test_what_no_run_measured_is_no_plot(read: list[RunResults]) -> None:
    assert share_plot(read, "pgd20") is not None
    bare = [run._replace(figures={}) for run in read]
    assert share_plot(bare, "pgd20") is None
    assert interpretability_plot(bare, "pgd20") is None
    assert bias_plot(bare, "pgd20", "relative") is None


def test_a_run_without_a_measure_leaves_a_gap(read: list[RunResults]) -> None:
    plot = share_plot([read[0]._replace(figures={}), read[1]], "pgd20")
    assert plot is not None
    assert plot["data"][0]["y"] == [None] * 4
    assert plot["data"][1]["y"][0] is not None
