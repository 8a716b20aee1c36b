"""Tests of the rows of significance of several layers."""

import math

import pytest
import torch

from advscope.measures.dissection.analytic_significance import analytic_p_values
from advscope.measures.dissection.holm import holm
from advscope.measures.dissection.matched_significance import matched_p_values
from advscope.measures.dissection.significance_rows import TOP, LayerUnits, significance_rows
from advscope.measures.dissection.unit_significance import top_units_p_values

COLUMNS = (
    "layer", "top", "units", "regular", "images", "p", "p_approximate", "method", "p_corrected", "p_matched",
    "p_matched_corrected", "undefined",
)  # fmt: skip


def layer(seed: int, count: int) -> LayerUnits:
    generator = torch.Generator().manual_seed(seed)
    sensitivity = torch.rand(count, generator=generator)
    scores = (sensitivity + torch.rand(count, generator=generator)) / 50
    scores[3], sensitivity[7] = torch.nan, torch.nan
    areas = torch.randint(0, 10**6, (count,), generator=generator)
    regular = torch.arange(count) % 4 != 3
    return LayerUnits(scores, sensitivity, areas, regular, 11)


def test_rows_are_those_of_each_test_alone() -> None:
    layers = {"stem": layer(0, 40), "late": layer(1, 90)}
    rows = significance_rows(layers, draws=200)
    assert [(row["layer"], row["regular"], row["top"]) for row in rows] == [
        (name, regular, top) for name in layers for regular in (0, 1) for top in TOP
    ]
    for row in rows:
        assert tuple(row) == COLUMNS
        units = layers[row["layer"]]
        chosen = units.regular if row["regular"] else slice(None)
        scores, sensitivity, areas = units.interpretability[chosen], units.sensitivity[chosen], units.areas[chosen]
        top = (row["top"],)
        same(row["p"], top_units_p_values(scores, sensitivity, top, 200)[row["top"]])
        same(row["p_matched"], matched_p_values(scores, sensitivity, areas, top, 200)[row["top"]])
        p, method = analytic_p_values(scores, sensitivity, top)[row["top"]]
        same(row["p_approximate"], p)
        assert row["method"] == method
        assert row["images"] == 11
        # Units 3 and 7 are undefined; neither is regular.
        assert row["undefined"] == (0 if row["regular"] else 2)
        assert row["units"] == {"stem": (38, 30), "late": (88, 68)}[row["layer"]][row["regular"]]


def same(one: float, other: float) -> None:
    assert one == other or (math.isnan(one) and math.isnan(other))


def test_each_choice_of_units_is_corrected_over_all_layers_and_tops() -> None:
    rows = significance_rows({"stem": layer(0, 40), "late": layer(1, 90)}, draws=200)
    for regular in (0, 1):
        own = [row for row in rows if row["regular"] == regular]
        for column, corrected in (("p", "p_corrected"), ("p_matched", "p_matched_corrected")):
            for row, expected in zip(own, holm([row[column] for row in own]), strict=True):
                same(row[corrected], expected)
    # A layer too small for an N is a row, but no test: 40 units have no top 50.
    small = next(row for row in rows if row["layer"] == "stem" and row["top"] == 50)
    assert math.isnan(small["p"])
    assert math.isnan(small["p_corrected"])
    assert small["method"] == ""


def test_no_layer_and_no_units() -> None:
    assert significance_rows({}) == []
    none = LayerUnits(torch.zeros(0), torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.bool), 0)
    rows = significance_rows({"empty": none})
    assert len(rows) == 2 * len(TOP)
    assert all(math.isnan(row["p"]) and row["units"] == 0 and row["undefined"] == 0 for row in rows)


def test_a_wrong_layer_is_named() -> None:
    wrong = layer(0, 20)._replace(areas=torch.zeros(19))
    with pytest.raises(ValueError, match=r"layer 'late': .* must be \(K,\), got .*\(19,\)"):
        significance_rows({"stem": layer(0, 20), "late": wrong}, draws=9)
    wrong = layer(0, 20)._replace(regular=torch.arange(20))
    with pytest.raises(ValueError, match=r"layer 'late': regular must be bool, got torch.int64"):
        significance_rows({"late": wrong}, draws=9)
