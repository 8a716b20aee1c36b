"""Unpickling of numpy arrays and plain containers, and of nothing else.

A pickle may call any function that it names. The data sets that still come as pickles need only arrays, strings,
numbers, lists and dictionaries. This reader refuses whatever else is named before it is called, and never hands a
pickle's own state to numpy: arrays are made anew from their type, shape and bytes.
"""

import codecs
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np


class _Dtype:
    """A numeric type: its code, and the byte order that a pickle gives it afterwards."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        dtype = np.dtype(code.decode("ascii") if isinstance(code, bytes) else str(code))
        if dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"it holds an array of the type {code!r}")
        self.dtype = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"it holds an array of the byte order {state[1]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array that a pickle describes in two steps, the second one being ``__setstate__``."""

    value: np.ndarray[Any, Any]

    def __init__(self, *_: Any) -> None:
        self.value = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        self.value = _array(content, dtype, shape, "F" if fortran else "C").value


def _array(content: bytes | str, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    data = content.encode("latin1") if isinstance(content, str) else content
    array = _Array()
    array.value = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    return array


def _scalar(dtype: _Dtype, content: bytes | str) -> Any:
    """Return the Python number that a numpy number stands for."""
    return _array(content, dtype, (), "C").value.item()


def _encode(text: str, encoding: str) -> bytes:
    """Return the bytes that Python 3 writes as text in protocol 2; any other codec is refused."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}")
    return codecs.encode(text, "latin1")


# numpy 1 and 2 name the same functions by different modules, Python 2 and 3 the builtins.
_ALLOWED: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): bytes,
    ("__builtin__", "bytes"): bytes,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): None,  # an argument of _reconstruct, never called
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _array,
    ("numpy._core.numeric", "_frombuffer"): _array,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names, if it is allowed."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, neither an array nor a plain container")
        return _ALLOWED[module, name]


def _plain(value: Any) -> Any:
    """Return a value with its arrays put in."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return value


def loads(content: bytes) -> Any:
    """Return what a pickle of arrays and plain containers holds, without running anything that it names.

    Strings of Python 2 become text (latin1), as in the official CIFAR files; numpy numbers become Python's.

    Args:
        content: The bytes of the pickle.

    Raises:
        ValueError: If it is damaged, or holds anything but numeric arrays, numbers, text, bytes and plain containers.

    Example:
        >>> loads(pickle.dumps({"labels": [3, 1]}))
        {'labels': [3, 1]}
    """
    try:
        return _plain(_Reader(io.BytesIO(content), encoding="latin1").load())
    except Exception as error:  # a damaged pickle fails in whatever way its bytes happen to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"not a readable pickle of arrays: {reason}") from error
