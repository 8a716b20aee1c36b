"""Tests of reading arrays from pickles without running what they name."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamodules.safe_pickle import loads

ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)

# What Python 2 writes for {"data": numpy.array([[1, 2]], uint8), "labels": [7]} in protocol 2: byte strings throughout.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01K\x02"
    b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\x02tb"
    b"U\x06labels]K\x07au."
)


class Malicious:
    """Runs a command when it is unpickled in the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Name the command."""
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_arrays_and_plain_containers_of_every_protocol(protocol: int) -> None:
    content = {
        b"data": ARRAY,
        "fortran": np.asfortranarray(ARRAY),
        "big endian": ARRAY.astype(">i4"),
        "empty": np.zeros((0, 3), np.float32),
        "plain": [1, None, True, 2.5, "text", b"bytes", b"", (1, [2])],
        "number": [np.int64(3), np.uint8(255)],
    }

    read = loads(pickle.dumps(content, protocol=protocol))

    assert list(read) == list(content)
    for key in (b"data", "fortran", "big endian", "empty"):
        np.testing.assert_array_equal(read[key], content[key], strict=True)
    assert read["plain"] == content["plain"]
    assert read["number"] == [3, 255]


def test_reads_what_python_2_wrote() -> None:
    reference = pickle.loads(PYTHON_2, encoding="latin1")
    read = loads(PYTHON_2)

    np.testing.assert_array_equal(read["data"], reference["data"], strict=True)
    assert read["data"].tolist() == [[1, 2]]
    assert read["labels"] == [7]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_runs_nothing_that_a_pickle_names(protocol: int, tmp_path: Path) -> None:
    victim = tmp_path / "made"
    content = pickle.dumps({"data": ARRAY, "labels": Malicious(victim)}, protocol=protocol)

    with pytest.raises(ValueError, match=r"it asks for \w+.mkdir, neither an array nor a plain container"):
        loads(content)

    assert not victim.exists()
    pickle.loads(content)  # the usual way would have run it
    assert victim.exists()


@pytest.mark.parametrize(
    "value",
    [np.array([None]), np.array(["text"]), np.zeros(2, [("a", int)]), np.dtype(object), range(3)],
    ids=["objects", "text", "fields", "dtype", "range"],
)
def test_refuses_other_arrays_and_classes(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a readable pickle of arrays: it (holds|asks)"):
        loads(pickle.dumps({"data": value}))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps({"data": ARRAY})[:-20], PYTHON_2[:60]])
def test_a_damaged_pickle_is_one_line(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a readable pickle of arrays: ") as raised:
        loads(content)

    assert "\n" not in str(raised.value)


def test_an_array_whose_bytes_do_not_fill_its_shape_is_refused() -> None:
    wrong = PYTHON_2.replace(b"K\x01K\x02\x86", b"K\x09K\x02\x86")

    with pytest.raises(ValueError, match="cannot reshape array of size 2"):
        loads(wrong)
