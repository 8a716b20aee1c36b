"""Tests of masking.csv."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advscope.measures.unit_orders import ORDERS
from advscope.tables import read_masking, write_masking
from advscope.tables.masking_rows import COLUMNS
from advscope.tables.masking_rows import ORDERS as WRITTEN_ORDERS


def row(order: str, masked: int, **changes: Any) -> dict[str, Any]:
    found = {
        "layer": "layer4.1", "order": order, "masked": masked, "units": 512, "attack": "pgd", "images": 300,
        "clean_accuracy": 2 / 3, "clean_low": 0.6, "clean_high": 0.75, "robust_accuracy": 0.5, "robust_low": 0.4,
        "robust_high": 1,
    }  # fmt: skip
    return found | changes


def test_by_hand(tmp_path: Path) -> None:
    nothing = dict.fromkeys(COLUMNS[6:], math.nan)
    rows = [
        row("sensitive", 8, layer="a, b"),
        row("random", 64),
        row("sensitive", 0, layer="a, b", images=0, **nothing),
    ]
    write_masking(tmp_path / "masking.csv", rows)
    # Curves as they come, the numbers of each rising.
    assert (tmp_path / "masking.csv").read_text() == (
        "layer,order,masked,units,attack,images,clean_accuracy,clean_low,clean_high,robust_accuracy,robust_low,"
        "robust_high\n"
        '"a, b",sensitive,0,512,pgd,0,,,,,,\n'
        '"a, b",sensitive,8,512,pgd,300,0.666666667,0.6,0.75,0.5,0.4,1.0\n'
        "layer4.1,random,64,512,pgd,300,0.666666667,0.6,0.75,0.5,0.4,1.0\n"
    )


def test_comes_back(tmp_path: Path) -> None:
    shares = np.random.default_rng(0).random(30)
    rows = [row(order, masked, clean_low=share, robust_high=math.nan if masked == 3 else share)
            for order in ORDERS for masked, share in enumerate(shares[:10])]  # fmt: skip
    write_masking(tmp_path / "masking.csv", rows)
    found = read_masking(tmp_path / "masking.csv")
    assert list(found) == list(COLUMNS)
    assert found["order"].tolist() == [order for order in ORDERS for _ in range(10)]
    assert found["masked"].dtype == found["images"].dtype == np.int64
    assert found["masked"].tolist() == [*range(10)] * 3
    assert found["clean_low"] == pytest.approx(np.tile(shares[:10], 3), rel=1e-8)
    assert np.isnan(found["robust_high"]).tolist() == [masked == 3 for masked in found["masked"]]


def test_the_orders_are_those_of_the_measure() -> None:
    assert WRITTEN_ORDERS == ORDERS


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("sensible", 0)], "order must be one of sensitive, interpretable, random, got 'sensible'"),
        (
            [row("random", 4), row("random", 0), row("random", 4)],
            "a row comes twice .layer layer4.1, attack .*, order random, masked 4",
        ),
        ([{key: value for key, value in row("random", 4).items() if key != "units"}], "a row has no units; each has"),
        ([row("random", 4, seed=3)], "a row has seed; each has layer, order"),
        ([row("random", 4, clean_low="much")], "clean_low must be in .0, 1. or empty, got 'much'"),
        ([row("random", 4.5)], "masked must be a whole number of at least 0, got 4.5"),
        ([row("random", 4, images=-1)], "images must be a whole number of at least 0, got -1"),
    ],
)
def test_what_cannot_be_written(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_masking(tmp_path / "masking.csv", rows)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "random",
            "chance",
            "column order: must be one of sensitive, interpretable, random, got 'chance'; make it anew",
        ),
        (
            ",512,",
            ",many,",
            "column units: must be a whole number of at least 0, got 'many'; make it anew with `python evaluate.py",
        ),
        ("0.666666667", "high", "column clean_accuracy: must be in .0, 1. or empty, got 'high'"),
        ("images", "pictures", "has no column images"),
    ],
)
def test_what_cannot_be_read(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "masking.csv"
    write_masking(path, [row("random", 0)])
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_masking(path)
    with pytest.raises(FileNotFoundError, match=r"there\.csv does not exist; make it anew"):
        read_masking(tmp_path / "there.csv")
