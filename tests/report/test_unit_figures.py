"""Tests of the figures of units: what is drawn is what the table says."""

import numpy as np
import pytest

from advscope.report.figure_style import LINE_COLOURS
from advscope.report.unit_figures import CATEGORIES, detector_figure, sensitivity_figure, shown_layers


def units(layers=("conv1", "layer1"), count=4):
    """Return a table whose units detect an object, a colour, nothing, and whose last sensitivity is undefined."""
    total = len(layers) * count
    return {
        "layer": np.repeat(np.array(layers), count),
        "interpretability": np.tile([0.01, 0.02, 0.03, 0.04], len(layers)),
        "sensitivity": np.tile([1.0, 2.0, 3.0, np.nan], len(layers)),
        "detector": np.tile([True, True, False, True], len(layers)),
        "category": np.tile(["object", "color", "part", "object"], len(layers)),
        "unit": np.arange(total) % count,
    }


def test_every_defined_unit_is_drawn_in_its_place_and_the_others_are_counted():
    figure = sensitivity_figure(units(), "title")
    assert figure.get_suptitle() == "title"
    for axis, layer in zip(figure.axes, ("conv1", "layer1"), strict=True):
        assert axis.get_title() == f"{layer}: 4 units, 1 undefined"
        drawn = np.concatenate([np.asarray(marks.get_offsets()) for marks in axis.collections])
        assert sorted(map(tuple, drawn)) == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["object", "color", "no detector"]


def test_many_layers_are_thinned_out_evenly():
    names = [f"layer{number}" for number in range(20)]
    shown = shown_layers(units(names))
    assert len(shown) == 6
    assert (shown[0], shown[-1]) == ("layer0", "layer19")
    assert len(sensitivity_figure(units(names)).axes) == 6


def test_bars_are_the_shares_of_detectors_by_category():
    figure = detector_figure({"one": units(), "two": units(["conv1"])})
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    heights = {}
    for category, bars in zip(CATEGORIES, figure.axes[0].containers, strict=True):
        heights[category] = [bar.get_height() for bar in bars]
        assert bars[0].get_facecolor()[:3] == pytest.approx(
            tuple(int(LINE_COLOURS[CATEGORIES.index(category)][place : place + 2], 16) / 255 for place in (1, 3, 5))
        )
    # Two of four detect an object, one a colour; the part is below the limit.
    assert heights == {name: [{"object": 0.5, "color": 0.25}.get(name, 0.0)] * 2 for name in CATEGORIES}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["object", "color"]


@pytest.mark.parametrize("draw", [sensitivity_figure, lambda table: detector_figure({"run": table})])
def test_no_units_are_refused(draw):
    empty = {name: column[:0] for name, column in units().items()}
    with pytest.raises(ValueError, match=r"no units; add callbacks.DissectionMonitor to the evaluation"):
        draw(empty)
