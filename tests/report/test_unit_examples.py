"""Tests of unit_examples.npz."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from advscope.report.unit_examples import UnitExamples, read_unit_examples, write_unit_examples


def test_comes_back_from_arrays_and_tensors(dissected: ModuleType, tmp_path: Path) -> None:
    examples: UnitExamples = dissected.make_examples()
    tensors = {
        name: torch.from_numpy(value) for name, value in examples._asdict().items() if value.dtype.kind != "U"
    }  # fmt: skip
    write_unit_examples(tmp_path / "one.npz", examples)
    write_unit_examples(tmp_path / "two.npz", examples._replace(**tensors))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    found = read_unit_examples(tmp_path / "one.npz")
    for name, value in examples._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), value)
        assert getattr(found, name).dtype == value.dtype


def test_what_is_optional_may_be_missing(dissected: ModuleType, tmp_path: Path) -> None:
    bare = dissected.make_examples()._replace(map_true=None, map_target=None, cells=None, cell_classes=None)
    write_unit_examples(tmp_path / "bare.npz", bare)
    found = read_unit_examples(tmp_path / "bare.npz")
    assert (found.map_true, found.map_target, found.cells, found.cell_classes) == (None,) * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((2, 6, 8, 8), bool)}, r"masks must be \(E, U, h, w\) = |layers must be \(U\)"),
        ({"adversarials": np.zeros((2, 3, 8, 8))}, r"adversarials must be \(E, C, H, W\) = \(2, 3, 32, 32\), got"),
        ({"masks": np.zeros((2, 7, 32, 32))}, "masks must be bool, got float64"),
        ({"roles": np.array(["detector"] * 6 + ["hidden"])}, "role 'hidden' is none of detector, suppressed, promoted"),
        ({"concepts": np.arange(7)}, "concepts must hold names, got int64"),
        ({"map_target": None}, "map_true and map_target belong together, one is missing"),
        ({"cells": None}, "cells and cell_classes belong together"),
        ({"cell_classes": np.full((2, 64), 3)}, r"cell_classes must be -1 to 2 .*, got 3 to 3"),
        ({"indices": None}, "has no indices"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_not_written(
    dissected: ModuleType, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        write_unit_examples(tmp_path / "bad.npz", dissected.make_examples()._replace(**changes))
    assert "\n" not in str(raised.value)
    assert "bad.npz" in str(raised.value)
    assert "callbacks.DissectionMonitor" in str(raised.value)
    assert not (tmp_path / "bad.npz").exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz does not exist; make it anew"):
        read_unit_examples(tmp_path / "none.npz")
    (tmp_path / "torn.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"torn\.npz cannot be read"):
        read_unit_examples(tmp_path / "torn.npz")
