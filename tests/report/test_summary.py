"""Tests of summary.json."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from advscope.intervals import Estimate
from advscope.report import read_summary, write_summary
from advscope.report.summary import plain


@pytest.fixture
def summary() -> dict[str, Any]:
    return {
        "name": "standard",
        "run": {"name": "demo", "weights_sha256": "f" * 64},
        "data": {"name": "ConceptShapes", "split": "test", "n": 3, "sha256": "a" * 64},
        "settings": {"eps": 8 / 255, "cells": (4, 4), "folder": Path("data/shapes"), "floor": None, "stop": math.inf},
        "versions": {"torch": "2.15"},
        "passes": {"forwards": 10, "backwards": 5},
        "counts": {"pgd": {"eligible": 2, "ineligible": 1, "attacked": 0, "failed": 2}},
        "figures": {
            "test/clean/accuracy": Estimate(2 / 3, 0.2, 0.9, 3),
            "test/pgd/is/score_clean": Estimate(math.nan, math.nan, math.nan, 0, 2),
        },
    }


def test_comes_back_rounded_to_ten_digits(summary: dict[str, Any], tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", summary)

    found = read_summary(tmp_path / "summary.json")

    # 2/3 with ten significant digits is 0.6666666667; 8/255 = 0.03137254901960... is 0.0313725490 2.
    assert found["figures"]["test/clean/accuracy"] == {
        "value": 0.6666666667, "low": 0.2, "high": 0.9, "n": 3, "undefined": 0
    }  # fmt: skip
    assert found["settings"] == {
        "eps": 0.03137254902, "cells": [4, 4], "folder": "data/shapes", "floor": None, "stop": "inf"
    }  # fmt: skip
    assert found["format"] == 1
    assert found["passes"] == summary["passes"]


def test_writes_nan_as_null_and_reads_it_as_nan(summary: dict[str, Any], tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", summary)

    written = json.loads((tmp_path / "summary.json").read_text())["figures"]["test/pgd/is/score_clean"]
    read = read_summary(tmp_path / "summary.json")["figures"]["test/pgd/is/score_clean"]

    assert written == {"value": None, "low": None, "high": None, "n": 0, "undefined": 2}
    assert all(math.isnan(read[name]) for name in ("value", "low", "high"))
    assert (read["n"], read["undefined"]) == (0, 2)


def test_writes_the_same_bytes_whatever_the_order_of_the_keys(summary: dict[str, Any], tmp_path: Path) -> None:
    write_summary(tmp_path / "one.json", summary)
    reordered = {key: summary[key] for key in reversed(summary)}
    reordered["figures"] = {key: summary["figures"][key] for key in reversed(summary["figures"])}
    write_summary(tmp_path / "two.json", reordered)
    write_summary(tmp_path / "three.json", read_summary(tmp_path / "one.json"))

    one = (tmp_path / "one.json").read_bytes()
    assert (tmp_path / "two.json").read_bytes() == one
    assert (tmp_path / "three.json").read_bytes() == one
    assert one.endswith(b"}\n")
    assert one.startswith(b'{\n "counts"')


def test_leaves_the_old_file_where_the_new_one_is_refused(summary: dict[str, Any], tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", summary)
    before = (tmp_path / "summary.json").read_bytes()

    with pytest.raises(ValueError, match="a summary holds numbers, strings, lists and mappings, got set"):
        write_summary(tmp_path / "summary.json", summary | {"settings": {"layers": {1, 2}}})

    assert (tmp_path / "summary.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_takes_tensor_and_array_scalars_as_numbers() -> None:
    assert plain(torch.tensor(0.5)) == 0.5
    assert plain({"n": torch.tensor(3), "yes": True}) == {"n": 3, "yes": True}


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"summary.json does not exist; make it anew with `python evaluate.py"):
        read_summary(tmp_path / "summary.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "has format 2, and this advscope reads 1"),
        ({"name": None}, "has no 'name'"),
        ({"figures": []}, "has no mapping 'figures'"),
        ({"data": {"name": "ConceptShapes", "split": "test", "n": 3}}, "has no data/sha256"),
        ({"figures": {"test/clean/accuracy": {"value": 1.0}}}, "without value, low, high and n"),
        ({"figures": {"key": {"value": "good", "low": 0, "high": 1, "n": 1}}}, "whose value is 'good'"),
        ({"figures": {"key": {"value": 1, "low": 0, "high": 1, "n": 0.5}}}, "whose n is 0.5"),
    ],
)
def test_refuses_what_is_no_summary(
    summary: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(plain({"format": 1} | summary | change)))

    with pytest.raises(ValueError, match=message) as caught:
        read_summary(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_half_a_file(summary: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, summary)
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(ValueError, match="is no valid JSON"):
        read_summary(path)
