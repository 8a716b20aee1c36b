"""Tests of images.csv."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from advscope.report import read_columns, read_rows, write_rows
from advscope.report.image_rows import FIXED, read_header


def row(index: int, attack: str, **measures: Any) -> dict[str, Any]:
    fixed = {"label": 1, "prediction": 1, "target": 2, "adversarial_prediction": 2, "eligible": True, "attacked": True}
    return {"index": index, "attack": attack} | fixed | measures


def test_by_hand(tmp_path: Path) -> None:
    # 1/3 with nine significant digits is 0.333333333; 1e-7/3 is 3.33333333e-08.
    rows = [
        row(7, "pgd", **{"is/score": 1 / 3, "bias/b": 2}),
        row(5, "pgd", **{"is/score": math.nan, "bias/b": None}),
        row(6, "fgsm", **{"is/score": 1e-7 / 3}) | {"attacked": False},
    ]
    write_rows(tmp_path / "images.csv", rows)

    assert (tmp_path / "images.csv").read_text() == (
        "index,attack,label,prediction,target,adversarial_prediction,eligible,attacked,is/score,bias/b\n"
        "6,fgsm,1,1,2,2,1,0,3.33333333e-08,\n"
        "5,pgd,1,1,2,2,1,1,,\n"
        "7,pgd,1,1,2,2,1,1,0.333333333,2.0\n"
    )
    assert read_header(tmp_path / "images.csv") == [*FIXED, "is/score", "bias/b"]


def test_comes_back(results: ModuleType, tmp_path: Path) -> None:
    rows = results.make_rows(seed=3)
    write_rows(tmp_path / "images.csv", rows)

    found = read_rows(tmp_path / "images.csv")

    expected = sorted(rows, key=lambda row: (row["attack"], row["index"]))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value == other[name] or value == pytest.approx(other[name], rel=1e-8, nan_ok=True)


def test_tells_any_two_float32_apart(tmp_path: Path) -> None:
    values = torch.rand(500, generator=torch.Generator().manual_seed(0))
    write_rows(tmp_path / "images.csv", [row(place, "pgd", value=value) for place, value in enumerate(values)])

    found = read_columns(tmp_path / "images.csv")["value"]

    assert (found.astype(np.float32) == values.numpy()).all()


def test_writes_the_same_bytes_in_any_order_of_rows(results: ModuleType, tmp_path: Path) -> None:
    rows = results.make_rows(seed=3)
    write_rows(tmp_path / "one.csv", rows)
    write_rows(tmp_path / "two.csv", rows[::-1])

    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_columns_have_types(results: ModuleType, tmp_path: Path) -> None:
    write_rows(tmp_path / "images.csv", results.make_rows(seed=3))

    columns = read_columns(tmp_path / "images.csv")

    assert columns["index"].dtype == np.int64
    assert columns["attacked"].dtype == bool
    assert columns["is/score_clean"].dtype == np.float64
    # What is not attacked does not count.
    assert np.isnan(columns["is/score_clean"][~columns["attacked"]]).all()


def test_no_rows_come_back_as_no_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "images.csv", [])

    assert read_rows(tmp_path / "images.csv") == []
    assert list(read_columns(tmp_path / "images.csv")) == list(FIXED)


def test_refuses_an_image_twice(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image 5 comes twice for attack pgd"):
        write_rows(tmp_path / "images.csv", [row(5, "pgd"), row(5, "fgsm"), row(5, "pgd")])


def test_refuses_incomplete_rows(tmp_path: Path) -> None:
    incomplete = {name: value for name, value in row(5, "pgd").items() if name != "target"}
    with pytest.raises(ValueError, match="a row has no target"):
        write_rows(tmp_path / "images.csv", [incomplete])


def test_refuses_measures_that_are_no_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is/score must be a number, got 'high'"):
        write_rows(tmp_path / "images.csv", [row(5, "pgd", **{"is/score": "high"})])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,attack\n1,pgd\n", "has no column label, prediction"),
        (",".join(FIXED) + "\n1,pgd,0,0,0\n", "line 2: 5 fields and not 8"),
        (",".join(FIXED) + "\n1,pgd,dog,0,0,0,1,1\n", "column label: .*'dog'"),
        (",".join([*FIXED, "is/score"]) + "\n1,pgd,0,0,0,0,1,1,high\n", "column is/score: .*'high'"),
    ],
)
def test_refuses_damaged_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_columns(tmp_path / "images.csv")


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images.csv does not exist; make it anew with `python evaluate.py"):
        read_columns(tmp_path / "images.csv")
