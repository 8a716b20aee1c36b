"""Tests of detectors among the most sensitive units, against plain counts and scipy's hypergeometric distribution."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from advscope.report import read_units, write_units
from advscope.report.top_detector_figure import top_detector_figure, top_detectors


def make(dissected: ModuleType, folder: Path, **settings: Any) -> dict[str, Any]:
    write_units(folder / "units.csv", dissected.make_units(0, **settings))
    return read_units(folder / "units.csv")


def test_counts_are_those_of_a_plain_loop(dissected: ModuleType, tmp_path: Path) -> None:
    units = make(dissected, tmp_path)
    rows = [
        row for row in dissected.make_units(0) if row["layer"] == "layer2" and row["sensitivity"] == row["sensitivity"]
    ]
    ranked = sorted(rows, key=lambda row: (-row["sensitivity"], row["unit"]))
    found = top_detectors(units, "layer2")
    assert found is not None
    assert (found.top, found.units) == (30, 35)  # 40 units, every ninth undefined
    for category, count in found.counts.items():
        detecting = [row["detector"] and row["category"] == category for row in ranked]
        assert count == sum(detecting[:30])
        assert found.expected[category] == pytest.approx(sum(detecting) * 30 / 35)


@pytest.mark.parametrize(("count", "top"), [(240, 100), (101, 80), (13, 10), (12, None)])
def test_the_number_is_the_largest_of_the_papers_that_leaves_units_over(
    dissected: ModuleType, tmp_path: Path, count: int, top: int | None
) -> None:
    found = top_detectors(make(dissected, tmp_path, count=count), "conv1")
    # Of twelve units two have no sensitivity: the top ten would be all.
    assert (None if found is None else found.top) == top


def test_the_range_is_the_hypergeometric_one(dissected: ModuleType, tmp_path: Path) -> None:
    stats = pytest.importorskip("scipy.stats")
    for count in (15, 40, 240):
        units = make(dissected, tmp_path, count=count)
        found = top_detectors(units, "conv1")
        assert found is not None
        here = (units["layer"] == "conv1") & ~np.isnan(units["sensitivity"])
        law = stats.hypergeom(int(here.sum()), int(units["detector"][here].sum()), found.top)
        assert law.cdf(found.low - 1) <= 0.025 < law.cdf(found.low)
        assert law.sf(found.high) <= 0.025 < law.sf(found.high - 1)


def test_ties_go_to_the_lesser_number(dissected: ModuleType, tmp_path: Path) -> None:
    units = make(dissected, tmp_path, count=14)
    here = units["layer"] == "conv1"
    units["sensitivity"][here] = 1.0
    units["detector"][here] = units["unit"][here] < 10
    units["category"][here] = "part"
    found = top_detectors(units, "conv1")
    assert found is not None
    assert found.counts["part"] == found.top == 10


def test_bars_stack_to_the_counts_beside_their_expectation(dissected: ModuleType, tmp_path: Path) -> None:
    units = make(dissected, tmp_path)
    figure = top_detector_figure(units)
    (axis,) = figure.axes
    bars = [bar for bar in axis.patches if bar.get_height() > 0]
    for place, layer in enumerate(dissected.LAYERS):
        found = top_detectors(units, layer)
        assert found is not None
        left = [bar.get_height() for bar in bars if place - 0.5 < bar.get_x() + bar.get_width() / 2 < place]
        right = [bar.get_height() for bar in bars if place < bar.get_x() + bar.get_width() / 2 < place + 0.5]
        assert sum(left) == sum(found.counts.values())
        assert sum(right) == pytest.approx(sum(found.expected.values()))
        assert axis.get_ylim()[1] > max(found.high, sum(left))
    assert axis.get_ylabel() == "detectors among N = 30 units"


def test_small_layers_are_left_out_and_named(dissected: ModuleType, tmp_path: Path) -> None:
    rows = [*dissected.make_units(0, count=40), *dissected.make_units(1, ("linear",), count=8)]
    write_units(tmp_path / "units.csv", rows)
    units = read_units(tmp_path / "units.csv")
    assert top_detectors(units, "linear") is None
    (axis,) = top_detector_figure(units).axes
    assert axis.get_xlabel() == "left out, 10 or fewer units: linear"
    assert [label.get_text() for label in axis.get_xticklabels()] == list(dissected.LAYERS)
    small = {name: column[units["layer"] == "linear"] for name, column in units.items()}
    with pytest.raises(ValueError, match="no layer has more than ten units"):
        top_detector_figure(small)


def test_layers_of_other_widths_say_their_number(dissected: ModuleType, tmp_path: Path) -> None:
    rows = [*dissected.make_units(0, ("conv1",), count=40), *dissected.make_units(1, ("wide",), count=240)]
    write_units(tmp_path / "units.csv", rows)
    (axis,) = top_detector_figure(read_units(tmp_path / "units.csv")).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["conv1 (N = 30)", "wide (N = 100)"]
