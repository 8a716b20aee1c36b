"""Tests of the units' plots."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advscope.report import write_units
from advscope.report.page.unit_plots import EVERY_LAYER, detector_plots, first_shown, layers_of, unit_plot, units_of
from advscope.report.run_results import RunResults, read_all
from advscope.tables.unit_rows import KINDS


def make_units(seed: int, layers: tuple[str, ...] = ("stem", "conv2")) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    concepts = (("red <b>", "colour"), ("dots", "texture"), ("wheel", "part"))
    rows = []
    for layer in layers:
        for number in range(12):
            concept, category = concepts[random.integers(3)]
            iou, sensitivity = random.random(2)
            rows.append(
                {"layer": layer, "unit": number, "threshold": 1.0, "maximum": 2.0, "kind": KINDS[number % 3],
                 "concept": concept, "category": category, "iou": iou, "iou_low": iou - 0.01, "iou_high": iou + 0.01,
                 "detector": iou > 0.5, "interpretability": iou, "sensitivity": sensitivity if number else np.nan,
                 "sensitivity_low": sensitivity - 0.1, "sensitivity_high": sensitivity + 0.1, "sensitivity_all": 0.5,
                "area": 0.05, "adversarial_concept": "", "adversarial_category": "", "adversarial_iou": 0.1}
            )  # fmt: skip
    return rows


@pytest.fixture
def read(runs: tuple[Path, Path]) -> list[RunResults]:
    write_units(runs[1] / "results" / "standard" / "units.csv", make_units(0))
    return read_all(runs, "standard")


def test_a_run_without_units_is_none(read: list[RunResults]) -> None:
    units = units_of(read)
    assert units[0] is None
    assert layers_of(units) == ["stem", "conv2"]


def test_each_defined_unit_is_a_mark_with_its_names(read: list[RunResults]) -> None:
    (trace,) = unit_plot(read, units_of(read))["data"]
    rows = [row for row in make_units(0) if row["unit"] != 0]  # whose sensitivity is undefined
    assert trace["meta"] == {"run": 1}
    assert trace["x"] == pytest.approx([row["interpretability"] for row in rows], abs=1e-6)
    assert trace["y"] == pytest.approx([row["sensitivity"] for row in rows], abs=1e-6)
    for row, custom in zip(rows, trace["customdata"], strict=True):
        assert custom[:2] == [row["layer"], str(row["unit"])]
        assert row["concept"].replace("<", "&lt;").replace(">", "&gt;") in custom[2]
        assert custom[2].startswith("detector of") == bool(row["detector"])
        assert "[" in custom[3]


def test_detectors_against_a_plain_count(read: list[RunResults]) -> None:
    plots = detector_plots(read, units_of(read))
    assert list(plots) == [EVERY_LAYER, "stem", "conv2"]
    for layer, plot in plots.items():
        (trace,) = plot["data"]
        rows = [row for row in make_units(0) if layer in (EVERY_LAYER, row["layer"])]
        for category, count in zip(trace["x"], trace["y"], strict=True):
            assert count == sum(1 for row in rows if row["detector"] and row["category"] == category)
        assert trace["customdata"] == [len(rows)] * len(trace["x"])


def test_the_layer_shown_first_has_the_most_units_and_is_the_last_such() -> None:
    found = {"layer": np.array(["stem"] * 4 + ["wide"] * 8 + ["wider"] * 8 + ["linear"] * 2)}
    assert layers_of([None, found])[first_shown([None, found])] == "wider"
    assert first_shown([None]) == -1
