"""Tests of files of arrays."""

from pathlib import Path

import numpy as np
import pytest

from advscope.report.archive import check_dimensions, plain_array, read_arrays, write_arrays


def test_arrays_come_back_and_the_order_leaves_the_bytes_alone(tmp_path: Path) -> None:
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.array(["x", "yz"])}
    write_arrays(tmp_path / "one.npz", arrays)
    write_arrays(tmp_path / "two.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    found = read_arrays(tmp_path / "one.npz", "make it anew")
    assert list(found) == ["a", "b"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_what_cannot_be_read_says_so_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.npz does not exist; make it anew$"):
        read_arrays(tmp_path / "none.npz", "make it anew")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match=r"torn\.npz cannot be read \(.*\); make it anew$"):
        read_arrays(tmp_path / "torn.npz", "make it anew")
    np.savez(tmp_path / "code.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"code\.npz cannot be read \(.*allow_pickle"):
        read_arrays(tmp_path / "code.npz", "make it anew")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"b": np.zeros(3)}, "x.npz has no a; again"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, r"x.npz: a must be \(N, M\) = \(N, M\), got \(2\); again"),
        ({"a": np.zeros((2, 3)), "b": np.zeros(2)}, r"x.npz: b must be \(M\) = \(3\), got \(2\); again"),
        ({"a": np.zeros((2, 3)), "b": np.array([{}] * 3)}, "x.npz: b holds Python objects; give numbers"),
        ({"a": np.zeros((2, 3)), "b": np.zeros(3), "c": np.zeros((2, 5))}, r"c must be \(N, 4\) = \(2, 4\), got"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_dimensions(arrays, {"a": "N M", "b": "M"}, "x.npz", "again", {"c": "N 4"})


def test_what_may_be_there_need_not() -> None:
    check_dimensions({"a": np.zeros((2, 3)), "b": np.zeros(3)}, {"a": "N M", "b": "M"}, "x.npz", "again", {"c": "N 4"})


def test_a_tensor_becomes_an_array() -> None:
    torch = pytest.importorskip("torch")
    found = plain_array(torch.ones(2, 3, requires_grad=True).T)
    assert found.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(found, np.ones((3, 2)))
