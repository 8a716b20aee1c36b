"""The tables of layers, units and masked units, against figures made by hand."""

import csv
import math

import pytest
import torch

from advscope.intervals import Estimate
from advscope.measures import MaskingPoint
from advscope.measures.dissection.significance_rows import LayerUnits, significance_rows
from advscope.report import write_summary
from advscope.tables import write_significances
from benchmarks.inside_tables import (
    CATEGORIES,
    bias_table,
    folder_tables,
    main,
    masking_table,
    significance_table,
    unit_tables,
)


def alone(value: float, n: int = 96) -> Estimate:
    return Estimate(value, math.nan, math.nan, n)


def layer(zero: int = 0, maximum: int = 0) -> dict[str, Estimate]:
    """Return the figures of a layer of 20 units, of which 12 detect objects, and 3 textures by chance."""
    figures = {"units": alone(20), "units_zero": alone(zero), "units_maximum": alone(maximum)}
    for end, lost in (("", 0), ("_regular", zero + maximum)):
        figures |= {f"detectors_{category}{kind}{end}": alone(0) for category in CATEGORIES for kind in ("", "_chance")}
        figures |= {
            f"detectors{end}": Estimate(12 - lost, 9, 14, 96),
            f"detectors_chance{end}": Estimate(3, 1, 5, 96),
            f"detectors_object{end}": Estimate(12 - lost, 9, 14, 96),
            f"detectors_texture_chance{end}": Estimate(3, 1, 5, 96),
            f"interpretability{end}": Estimate(0.01, 0.005, 0.015, 96),
            f"interpretability_adversarial{end}": Estimate(0.02, 0.015, 0.025, 96),
            f"interpretability_chance{end}": Estimate(0.003, 0.002, 0.004, 96),
            f"sensitivity{end}": Estimate(7.25, 7, 7.5, 90),
            f"rank_correlation{end}": Estimate(-0.5, -0.75, -0.25, 20),
        }
        for kind, p in (("", 0.001), ("_corrected", 0.002), ("_matched", 0.3), ("_matched_corrected", 0.6)):
            figures[f"p_top10{kind}{end}"] = alone(p, 90)
    return figures


def rows(table: str) -> list[list[str]]:
    """Return the cells of tables, line by line."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]


def test_detectors_stand_beside_those_by_chance():
    first, _, units, second, _, scores = rows(unit_tables({"conv": layer()}))
    assert first[1:] == [
        "units / T = 0 / T = maximum",
        *(f"{name}; by chance" for name in ("detectors", "object", "texture")),
    ]
    assert units == ["conv", "20 / 0 / 0", "12 [9, 14]; 3 [1, 5]", "12 [9, 14]; 0", "0; 3 [1, 5]"]
    assert second[4] == "v, √pixels (n = 90)"
    assert scores == [
        "conv", "0.0100 [0.0050, 0.0150]", "0.0200 [0.0150, 0.0250]", "0.0030 [0.0020, 0.0040]", "7.2 [7.0, 7.5]",
        "-0.50 [-0.75, -0.25]",
    ]  # fmt: skip


def test_data_need_not_have_every_category():
    figures = {name: value for name, value in layer().items() if "material" not in name}
    assert unit_tables({"conv": figures}) == unit_tables({"conv": layer()})


def test_regular_units_have_a_row_of_their_own_where_there_are_others():
    lines = rows(unit_tables({"conv": layer(), "last": layer(zero=2, maximum=3)}))
    assert [line[:3] for line in lines[2:5]] == [
        ["conv", "20 / 0 / 0", "12 [9, 14]; 3 [1, 5]"],
        ["last", "20 / 2 / 3", "12 [9, 14]; 3 [1, 5]"],
        ["last, regular", "15", "7 [9, 14]; 3 [1, 5]"],
    ]
    assert [line[0] for line in rows(significance_table({"last": layer(zero=1)}))[2:]] == [
        "last", "last, matched", "last, regular", "last, regular, matched"
    ]  # fmt: skip


def test_p_stands_beside_its_correction_and_is_a_dash_where_there_is_none():
    wide = layer() | {f"p_top50{kind}": alone(0.5) for kind in ("", "_corrected", "_matched", "_matched_corrected")}
    lines = rows(significance_table({"conv": layer(), "last": wide}))
    assert lines[0] == ["p (Holm)", "N = 10", "N = 50"]
    assert lines[2:] == [
        ["conv", "0.0010 (0.0020)", "–"],
        ["conv, matched", "0.3000 (0.6000)", "–"],
        ["last", "0.0010 (0.0020)", "0.5000 (0.5000)"],
        ["last, matched", "0.3000 (0.6000)", "0.5000 (0.5000)"],
    ]


def test_a_bias_is_compared_with_noise_image_by_image():
    nan = math.nan
    columns = {
        "conv/raw": [1.0, 4.0, 0.0], "conv/raw_noise": [1.0, 1.0, 2.0],
        "conv/relative": [0.1, 0.3, nan], "conv/relative_noise": [0.1, 0.1, nan],
    }  # fmt: skip
    title, _, line = rows(bias_table(columns, ["conv"]))
    assert title[0] == "layer (n = 3)"
    # The geometric mean of 1 and 4 is 2; a ratio with 0 in it is left out.
    half = 1.959963984540054 * math.log(4) / 2
    assert line[4] == f"2.00 [{math.exp(math.log(2) - half):.2f}, {math.exp(math.log(2) + half):.2f}]"
    assert line[2].startswith("0.200 [")
    assert line[1].startswith("1.667 [")


def test_no_masked_unit_stands_once():
    base = MaskingPoint(
        Estimate(0.5, 0.4, 0.6, 100), Estimate(0.25, 0.2, 0.3, 100), Estimate(0, 0, 0, 100), Estimate(0, 0, 0, 100)
    )
    masked = base._replace(robust_difference=Estimate(0.05, 0.01, 0.09, 100))
    lines = rows(masking_table({"sensitive": {0: base, 4: masked}, "random": {0: base, 4: base}}))
    assert lines[0][0] == "order (n = 100)"
    assert [line[:2] for line in lines[2:]] == [["none", "0"], ["sensitive", "4"], ["random", "4"]]
    assert lines[2][2:] == ["50.0 [40.0, 60.0]", "25.0 [20.0, 30.0]", "–", "–"]
    assert lines[3][5] == "+5.0 [+1.0, +9.0]"


@pytest.fixture
def results(tmp_path):
    """Return the folder of an evaluation that dissected, masked and measured the bias, attacked images 0 and 2."""
    layers = ("layer1.9", "layer1.10")
    figures = {f"test/pgd/dissection/{place}/{name}": value for place in layers for name, value in layer().items()}
    units = {"interpretability": torch.rand(20), "sensitivity": torch.rand(20), "areas": torch.ones(20)}
    units = LayerUnits(**units, regular=torch.ones(20, dtype=torch.bool), images=90)
    write_significances(tmp_path / "significance.csv", significance_rows(dict.fromkeys(layers, units), draws=10))
    for number, value in ((0, 0.5), (4, 0.6)):
        for name in ("clean_accuracy", "robust_accuracy", "clean_difference", "robust_difference"):
            figures[f"test/pgd/masking/layer3.2/sensitive/{number}/{name}"] = Estimate(value, 0.4, 0.7, 10)
    summary = {name: {} for name in ("settings", "versions", "passes", "counts")} | {
        "name": "standard",
        "figures": figures,
    }
    data = {"name": "CIFAR10", "split": "test", "n": 3, "sha256": "0"}
    write_summary(tmp_path / "summary.json", summary | {"run": {"name": "natural"}, "data": data})
    names = [f"bias/layer1.9/{kind}{end}" for end in ("", "_noise") for kind in ("raw", "relative")]
    with (tmp_path / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "attack", "attacked", *names])
        writer.writerows([[0, "cw", 1, 2, 0.2, 1, 0.1], [1, "cw", 0, *[99] * 4], [2, "cw", 1, 4, 0.4, 2, 0.2]])
    return tmp_path


def test_a_folder_gives_the_tables_that_its_results_allow(results, capsys):
    main([str(results)])
    page = capsys.readouterr().out
    both = {"layer1.9": layer(), "layer1.10": layer()}  # from input to output, which is not the alphabet's order
    assert unit_tables(both) in page
    assert significance_table(both) in page
    columns = {"layer1.9/raw": [2.0, 4.0], "layer1.9/relative": [0.2, 0.4]}
    columns |= {"layer1.9/raw_noise": [1.0, 2.0], "layer1.9/relative_noise": [0.1, 0.2]}
    assert f"cw:\n\n{bias_table(columns, ['layer1.9'])}" in page
    assert (
        "| sensitive | 4 | 60.0 [40.0, 70.0] | 60.0 [40.0, 70.0] | +60.0 [+40.0, +70.0] | +60.0 [+40.0, +70.0] |"
        in page
    )


def test_a_layer_that_is_not_there_and_a_folder_without_results_are_told(results, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"no layer layer9; there are layer1\.9"):
        folder_tables(results, ["layer9"])
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nowhere")])
    assert "nowhere" in capsys.readouterr().err
