"""Tests of units.csv."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advscope.report import read_units, write_units
from advscope.tables.unit_rows import COLUMNS


def unit(layer: str, number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "layer": layer, "unit": number, "threshold": 1.5, "maximum": 4, "kind": "regular", "concept": "red",
        "category": "colour", "iou": 1 / 3, "iou_low": 0.3, "iou_high": 0.36, "detector": True,
        "interpretability": 0.25, "sensitivity": 0.5, "sensitivity_low": 0.4, "sensitivity_high": 0.6,
        "sensitivity_all": 0.55,
                "area": 0.05, "adversarial_concept": "", "adversarial_category": "", "adversarial_iou": 0.1,
    }  # fmt: skip
    return row | changes


def test_by_hand(tmp_path: Path) -> None:
    nothing = {"concept": "", "category": "", "iou": None, "iou_low": None, "iou_high": None, "detector": False}
    rows = [unit("stem", 1), unit("stem", 0, kind="zero", sensitivity=math.nan, **nothing), unit("a, b", 3)]
    write_units(tmp_path / "units.csv", rows)

    # Layers as they come, which is from input to output; units by number.
    assert (tmp_path / "units.csv").read_text() == (
        ",".join(COLUMNS) + "\n"
        "stem,0,1.5,4.0,zero,,,,,,0,0.25,,0.4,0.6,0.55,0.05,,,0.1\n"
        "stem,1,1.5,4.0,regular,red,colour,0.333333333,0.3,0.36,1,0.25,0.5,0.4,0.6,0.55,0.05,,,0.1\n"
        '"a, b",3,1.5,4.0,regular,red,colour,0.333333333,0.3,0.36,1,0.25,0.5,0.4,0.6,0.55,0.05,,,0.1\n'
    )


def test_comes_back(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [
        unit("conv\u2028<b>", number, iou=value, sensitivity=np.float32(value), detector=value > 0.5)
        for number, value in enumerate(random.random(50))
    ]
    write_units(tmp_path / "units.csv", rows)

    found = read_units(tmp_path / "units.csv")

    assert list(found) == list(COLUMNS)
    assert found["layer"].tolist() == ["conv\u2028<b>"] * 50
    assert found["unit"].dtype == np.int64
    assert found["detector"].dtype == bool
    assert found["detector"].tolist() == [bool(row["detector"]) for row in rows]
    assert found["sensitivity"].astype(np.float32).tolist() == [row["sensitivity"] for row in rows]
    assert found["iou"] == pytest.approx([row["iou"] for row in rows], rel=1e-8)


def test_the_order_inside_a_layer_does_not_matter(tmp_path: Path) -> None:
    rows = [unit("b", number) for number in range(5)] + [unit("a", number) for number in range(3)]
    write_units(tmp_path / "one.csv", rows)
    write_units(tmp_path / "two.csv", rows[:5][::-1] + rows[5:][::-1])

    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert read_units(tmp_path / "one.csv")["layer"].tolist() == ["b"] * 5 + ["a"] * 3


def test_no_units_come_back_as_no_units(tmp_path: Path) -> None:
    write_units(tmp_path / "units.csv", [])

    assert all(not len(column) for column in read_units(tmp_path / "units.csv").values())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([unit("a", 0), unit("b", 0), unit("a", 0)], r"a row comes twice \(layer a, unit 0\); give it once"),
        ([unit("a", 0, kind="odd")], "kind must be one of regular, zero, maximum, got 'odd'"),
        ([unit("a", 0, purity=1)], "a row has purity; each has layer, unit"),
        ([{name: value for name, value in unit("a", 0).items() if name != "iou"}], "a row has no iou"),
        ([unit("a", 0, iou="high")], "iou must be a number or empty, got 'high'"),
    ],
)
def test_refuses_and_writes_nothing(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        write_units(tmp_path / "units.csv", rows)
    assert "units.csv" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"iou_low", b"low", "has no column iou_low"),
        (b",regular,", b",odd,", "column kind: must be one of regular, zero, maximum, got 'odd'"),
        (b"0.25", b"much", "column interpretability: .*'much'"),
        (b"0.36,1,", b"0.36,2,", "column detector"),
        (b"0.36,1,", b"0.36,", "line 2: 19 fields and not 20"),
        (b"red", b"\xff\xfe", "is no CSV text"),
    ],
)
def test_refuses_damaged_files(old: bytes, new: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "units.csv"
    write_units(path, [unit("a", 0)])
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        read_units(path)
    assert str(path) in str(caught.value)
    assert "callbacks.DissectionMonitor" in str(caught.value)


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"units\.csv does not exist; make it anew"):
        read_units(tmp_path / "units.csv")
