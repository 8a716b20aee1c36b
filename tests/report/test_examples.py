"""Tests of arrays.npz."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from advscope.report import attacks_of, load_examples, save_examples


def test_comes_back_from_arrays_and_tensors(results: ModuleType, tmp_path: Path) -> None:
    arrays = results.make_arrays(seed=0)
    save_examples(tmp_path / "arrays.npz", {name: torch.from_numpy(array) for name, array in arrays.items()})

    found = load_examples(tmp_path / "arrays.npz")

    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert attacks_of(found) == ["fgsm", "pgd20"]


def test_writes_the_same_bytes_whatever_the_order(results: ModuleType, tmp_path: Path) -> None:
    arrays = results.make_arrays(seed=0)
    save_examples(tmp_path / "one.npz", arrays)
    save_examples(tmp_path / "two.npz", {name: arrays[name] for name in reversed(arrays)})

    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("pgd20/targets", None, "has pgd20/images, but not targets"),
        ("psr/cells", None, "but not psr/cells"),
        ("pgd20/psr/score", None, r"pgd20/psr/score must be \(3, 64\), got nothing"),
        ("pgd20/psr/ratio", (3, 60), r"pgd20/psr/ratio must be \(3, 64\), got \(3, 60\)"),
        ("pgd20/is/cam_clean_label", (3, 8, 8), r"cam_clean_label must be \(3, 32, 32\), got \(3, 8, 8\)"),
        ("pgd20/adversarials", (3, 1, 32, 32), r"adversarials must be \(3, 3, 32, 32\)"),
        ("pgd20/images", (3, 32, 32), r"images must be \(M, C, H, W\)"),
    ],
)
def test_refuses_what_does_not_belong_together(
    results: ModuleType, tmp_path: Path, name: str, shape: tuple[int, ...] | None, message: str
) -> None:
    arrays = results.make_arrays(seed=0)
    if shape is None:
        del arrays[name]
    else:
        arrays[name] = np.zeros(shape)
    with pytest.raises(ValueError, match=message):
        save_examples(tmp_path / "arrays.npz", arrays)
    assert not (tmp_path / "arrays.npz").exists()


def test_refuses_objects(results: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="notes holds Python objects"):
        save_examples(tmp_path / "arrays.npz", results.make_arrays(seed=0) | {"notes": np.array([{}])})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"\x80\x04pickled"])
def test_refuses_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "arrays.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"arrays.npz cannot be read"):
        load_examples(tmp_path / "arrays.npz")


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"arrays.npz does not exist; make it anew"):
        load_examples(tmp_path / "arrays.npz")
