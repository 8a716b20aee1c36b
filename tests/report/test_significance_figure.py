"""Tests of the figure of p-values: what is drawn is what the table says."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from advscope.report.significance_figure import LEVEL, TESTS, layer_values, significance_figure
from advscope.tables import read_significances


@pytest.fixture
def table(dissected: ModuleType, tmp_path: Path) -> dict[str, Any]:
    return read_significances(dissected.write_csv(tmp_path / "significance.csv", dissected.make_significance(0)))


def drawn(axis: Any) -> dict[tuple[int, int], tuple[float, bool]]:
    """Return the marks of a panel: by N's place and layer's place, p and whether the mark is filled."""
    found = {}
    marks = [line for line in axis.lines if line.get_marker() not in ("", "None", None)]
    for number, line in enumerate(marks):
        for layer, value in enumerate(line.get_ydata()):
            if not np.isnan(value):
                assert abs(line.get_xdata()[layer] - layer) < 0.3
                found[number // 2, layer] = (float(value), line.get_markerfacecolor() != "white")
    return found


def test_marks_are_the_p_values_and_full_where_the_corrected_one_is_below_the_level(
    table: dict[str, Any], dissected: ModuleType
) -> None:
    figure = significance_figure({"run": table})
    assert "n = 180 attacked images" in figure.get_suptitle().replace("\n", " ")
    panels = [(regular, test) for regular in (0, 1) for test in TESTS]
    for axis, (regular, test) in zip(figure.axes, panels, strict=True):
        expected = {}
        for row in dissected.make_significance(0):
            if row["regular"] == regular and row[test] != "":
                place = dissected.TOPS.index(row["top"]), dissected.LAYERS.index(row["layer"])
                expected[place] = (row[test], row[TESTS[test]] < LEVEL)
        assert drawn(axis) == expected
        assert {full for _, full in expected.values()} == {True, False}
        assert axis.get_yscale() == "log"
        low, high = axis.get_ylim()
        assert low < min(value for value, _ in expected.values())
        assert high > 1
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "all units beside random units"
    assert titles[3] == "regular units beside area-matched units\n3 undefined"


def test_levels_and_numbers_stand_in_the_legend(table: dict[str, Any]) -> None:
    (legend,) = significance_figure({"run": table}).legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["N = 10", "N = 20", "N = 30", "p = 0.05", "corrected p < 0.05", "corrected p ≥ 0.05"]


def test_each_run_has_panels_and_layers_of_its_own(table: dict[str, Any]) -> None:
    other = {name: column[table["layer"] != "layer2"] for name, column in table.items()}
    figure = significance_figure({"one": table, "two": other})
    assert len(figure.axes) == 8
    ticks = [[label.get_text() for label in axis.get_xticklabels()] for axis in figure.axes]
    assert ticks[2] == ["conv1", "layer2", "layer10"]
    assert ticks[6] == ["conv1", "layer10"]
    assert figure.axes[4].get_title().startswith("two, all units")


def test_a_p_of_0_stands_at_the_edge_and_is_not_lost(table: dict[str, Any]) -> None:
    zero = dict(table) | {"p": np.where(table["top"] == 30, 0.0, table["p"])}
    axis = significance_figure({"run": zero}).axes[0]
    assert len(drawn(axis)) == 9
    assert min(value for value, _ in drawn(axis).values()) > 0


def test_a_layer_without_a_row_is_a_gap(table: dict[str, Any]) -> None:
    values, holds = layer_values(table, ["conv1", "layer2", "layer10"], 10, 0, "p")
    assert not np.isnan(values).any()
    thinned = {name: column[table["layer"] != "conv1"] for name, column in table.items()}
    values, holds = layer_values(thinned, ["conv1", "layer2", "layer10"], 10, 0, "p")
    assert np.isnan(values).tolist() == [True, False, False]
    assert not holds[0]


def test_no_rows_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"holds no rows; add callbacks.DissectionMonitor"):
        significance_figure({"run": {name: column[:0] for name, column in table.items()}})
