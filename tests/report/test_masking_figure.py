"""Tests of the figure of masked units."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from advscope.report.masking_figure import ORDERS, masking_figure, masking_lines
from advscope.tables import read_masking


@pytest.fixture
def table(dissected: ModuleType, tmp_path: Path) -> dict[str, Any]:
    return read_masking(dissected.write_csv(tmp_path / "masking.csv", dissected.make_masking()[::-1]))


def test_lines_are_the_rates_and_bands_their_intervals(table: dict[str, Any], dissected: ModuleType) -> None:
    figure = masking_figure({"run": table}, "title")
    assert figure.get_suptitle() == "title (n = 200 images; bands: 95% intervals)"
    assert [axis.get_title() for axis in figure.axes] == ["layer10: clean", "layer10: robust under pgd20"]
    for axis, kind in zip(figure.axes, ("clean", "robust"), strict=True):
        for line, band, order in zip(axis.lines, axis.collections, ORDERS, strict=True):
            rows = [row for row in dissected.make_masking() if row["order"] == order]
            np.testing.assert_array_equal(line.get_xdata(), [0, 4, 8, 16, 32])
            np.testing.assert_array_equal(line.get_ydata(), [row[f"{kind}_accuracy"] for row in rows])
            corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
            for row in rows:
                assert {(row["masked"], row[f"{kind}_low"]), (row["masked"], row[f"{kind}_high"])} <= corners
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(ORDERS.values())


def test_an_order_that_was_drawn_twice_is_two_lines_of_one_name(table: dict[str, Any]) -> None:
    random = table["order"] == "random"
    twice = {name: np.concatenate([column, column[random]]) for name, column in table.items()}
    twice["clean_accuracy"][-random.sum() :] -= 0.1
    lines = list(masking_lines(twice, "layer10", "random", "pgd20"))
    assert [twice["masked"][rows].tolist() for rows in lines] == [[0, 4, 8, 16, 32]] * 2
    np.testing.assert_allclose(twice["clean_accuracy"][lines[0]] - twice["clean_accuracy"][lines[1]], 0.1)
    figure = masking_figure({"run": twice})
    assert len(figure.axes[0].lines) == 4
    assert len(figure.legends[0].get_texts()) == 3


def test_titles_of_runs_with_long_names_are_within_the_figure(table: dict[str, Any]) -> None:
    figure = masking_figure({f"cifar10_resnet20_{kind}_cpu": table for kind in ("natural", "madry")})
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width = figure.bbox.width
    for axis in figure.axes:
        extent = axis.title.get_window_extent()
        assert extent.x0 >= 0, axis.get_title()
        assert extent.x1 <= width, axis.get_title()


def test_runs_and_layers_have_panels_and_too_many_are_counted(dissected: ModuleType, tmp_path: Path) -> None:
    layers = tuple(f"layer{number}" for number in range(5))
    table = read_masking(dissected.write_csv(tmp_path / "masking.csv", dissected.make_masking(layers)))
    figure = masking_figure({"one": table, "two": table})
    assert len(figure.axes) == 16
    assert figure.axes[0].get_title() == "one\nlayer0: clean"
    assert figure.axes[14].get_title() == "two\nlayer2: clean"
    assert "2 further panels left out" in figure.get_suptitle().replace("\n", " ")


def test_no_rows_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"holds no rows; add callbacks.UnitMaskingMonitor"):
        masking_figure({"run": {name: column[:0] for name, column in table.items()}})
