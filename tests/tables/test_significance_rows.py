"""Tests of significance.csv."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from advscope.measures.dissection.significance_rows import LayerUnits, SignificanceRow, significance_rows
from advscope.tables.significance_rows import COLUMNS, read_significances, write_significances


def row(layer: str, top: int, **changes: Any) -> dict[str, Any]:
    found = {
        "layer": layer, "top": top, "units": 64, "regular": 0, "images": 50, "p": 1 / 3, "p_approximate": 0.25,
        "method": "normal", "p_corrected": 1.0, "p_matched": 0.5, "p_matched_corrected": 1, "undefined": 2,
    }  # fmt: skip
    return found | changes


def test_by_hand(tmp_path: Path) -> None:
    nothing = {"p": None, "p_approximate": math.nan, "method": "", "p_corrected": None, "p_matched": None}
    path = tmp_path / "significance.csv"
    write_significances(path, [row("stem", 20), row("stem", 10, regular=True), row("a, b", 80, **nothing)])
    assert path.read_text() == (
        "layer,top,units,regular,images,p,p_approximate,method,p_corrected,p_matched,p_matched_corrected,undefined\n"
        "stem,20,64,0,50,0.333333333,0.25,normal,1.0,0.5,1.0,2\n"
        "stem,10,64,1,50,0.333333333,0.25,normal,1.0,0.5,1.0,2\n"
        '"a, b",80,64,0,50,,,,,,1.0,2\n'
    )


def test_what_the_measure_gives_comes_back(tmp_path: Path) -> None:
    assert SignificanceRow._fields == COLUMNS
    generator = torch.Generator().manual_seed(0)
    scores, sensitivity = torch.rand(2, 40, generator=generator)
    layer = LayerUnits(scores, sensitivity, torch.arange(40), torch.arange(40) < 25, 9)
    rows = significance_rows({"stem": layer, "late": layer}, draws=99)
    write_significances(tmp_path / "significance.csv", rows)

    found = read_significances(tmp_path / "significance.csv")

    assert list(found) == list(COLUMNS)
    assert found["top"].dtype == np.int64
    assert found["regular"].dtype == bool
    for name in COLUMNS:
        given = np.array([each[name] for each in rows])
        if found[name].dtype == np.float64:
            assert np.array_equal(np.isnan(found[name]), np.isnan(given))
            assert np.nan_to_num(found[name]) == pytest.approx(np.nan_to_num(given), rel=1e-8)
        else:
            assert found[name].tolist() == given.tolist()


def test_no_rows_come_back_as_no_rows(tmp_path: Path) -> None:
    write_significances(tmp_path / "significance.csv", [])
    assert all(not len(column) for column in read_significances(tmp_path / "significance.csv").values())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a", 10), row("a", 20), row("a", 10)], r"a row comes twice \(layer a, regular 0, top 10\); give it once"),
        ([row("a", 10, method="guess")], "method must be one of exact, normal or empty, got 'guess'"),
        ([row("a", 10, regular=2)], "regular must be 0 or 1, got 2"),
        ([row("a", 10, units=-1)], "units must be a whole number of at least 0, got -1"),
        ([row("a", "ten")], "top must be a whole number of at least 0, got 'ten'"),
        ([row("a", 10, p=1.5)], r"p must be in \[0, 1\] or empty, got 1.5"),
        ([row("a", 10, p="low")], "p must be in .0, 1. or empty, got 'low'"),
        ([row("a", 10, q=1)], "a row has q; each has layer, top"),
        ([{name: value for name, value in row("a", 10).items() if name != "p"}], "a row has no p;"),
    ],
)
def test_refuses_and_writes_nothing(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        write_significances(tmp_path / "significance.csv", rows)
    assert "significance.csv" in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"p_matched,", b"matched,", "has no column p_matched"),
        (b"normal", b"guess", "line 2, column method: must be one of exact, normal or empty, got 'guess'"),
        (b",10,64,0,", b",ten,64,0,", "line 2, column top: must be a whole number of at least 0, got 'ten'"),
        (b",10,64,0,", b",10,64,yes,", "line 2, column regular: must be 0 or 1"),
        (b"0.25", b"much", r"line 2, column p_approximate: must be in \[0, 1\] or empty, got 'much'"),
        (b"0.25", b"-0.25", "column p_approximate"),
        (b"0.25,", b"", "line 2: 11 fields and not 12"),
    ],
)
def test_refuses_damaged_files(old: bytes, new: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "significance.csv"
    write_significances(path, [row("a", 10)])
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        read_significances(path)
    assert str(path) in str(caught.value)
    assert "callbacks.DissectionMonitor" in str(caught.value)


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"significance\.csv does not exist; make it anew"):
        read_significances(tmp_path / "significance.csv")
