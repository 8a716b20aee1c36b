"""Arrays by name in one file: the same bytes for the same arrays, errors that name file, array and remedy."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.tables.atomic_file import write_atomically


def plain_array(value: Any) -> NDArray[Any]:
    """Return an array, out of a tensor on any device too."""
    return np.ascontiguousarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def write_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as a compressed ``.npz``, sorted by name; an old file is replaced in one step."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    write_atomically(path, buffer.getvalue())


def read_arrays(path: str | Path, remedy: str) -> dict[str, NDArray[Any]]:
    """Read a file of arrays; never runs code from it.

    Args:
        path: A file that :func:`write_arrays` wrote.
        remedy: What the reader can do, for the errors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; {remedy}") from None
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read ({str(error).splitlines()[0]}); {remedy}") from None


def check_dimensions(
    arrays: Mapping[str, NDArray[Any]],
    needed: Mapping[str, str],
    path: str | Path,
    remedy: str,
    optional: Mapping[str, str] | None = None,
) -> None:
    """Refuse missing arrays, objects, and shapes that do not belong together.

    Args:
        arrays: Arrays by name.
        needed: For each array that must be there the names of its dimensions, as ``"N C H W"``; dimensions of one
            name have one size, and a number is one.
        path: The file, for the errors.
        remedy: What the reader can do, for the errors.
        optional: The same of arrays that may be there.

    Raises:
        ValueError: If one of them does not hold.

    Example:
        >>> check_dimensions({"a": np.zeros((2, 3)), "b": np.zeros(4)}, {"a": "N M", "b": "M"}, "x.npz", "make it anew")
        Traceback (most recent call last):
        ...
        ValueError: x.npz: b must be (M) = (3), got (4); make it anew
    """
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}; {remedy}")
    sizes = {name: int(name) for each in (needed, optional or {}) for text in each.values() for name in text.split()
             if name.isdigit()}  # fmt: skip
    for name, dimensions in (dict(needed) | dict(optional or {})).items():
        if name not in arrays:
            continue
        found = arrays[name]
        if found.dtype == object:
            raise ValueError(f"{path}: {name} holds Python objects; give numbers")
        names = dimensions.split()
        known = len(found.shape) == len(names)
        if known:
            for dimension, size in zip(names, found.shape, strict=True):
                sizes.setdefault(dimension, size)
        if not known or found.shape != tuple(sizes[dimension] for dimension in names):
            sought = ", ".join(str(sizes.get(dimension, dimension)) for dimension in names)
            got = ", ".join(map(str, found.shape))
            raise ValueError(f"{path}: {name} must be ({', '.join(names)}) = ({sought}), got ({got}); {remedy}")
