"""The example images of one evaluation, as a file: ``RUN/results/NAME/arrays.npz``."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.summary import REMEDY
from advscope.tables.atomic_file import write_atomically

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by name; see :func:`save_examples`."""

_NEEDED = ("images", "adversarials", "indices", "labels", "targets")
_MAPS = ("_clean_label", "_clean_target", "_adversarial_label", "_adversarial_target")
_PER_CELL = ("ratio", "score", "suppression", "promotion", "significant")


def save_examples(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write a few attacked images with what the monitors found in them; the same bytes for the same arrays.

    Args:
        path: File to write; an old one is replaced in one step.
        arrays: Arrays or tensors by name. For each attack ``A`` with ``M`` examples: ``A/images`` and
            ``A/adversarials`` in [0, 1] ``(M, C, H, W)``; ``A/indices``, ``A/labels``, ``A/targets`` ``(M,)``; where
            PSR ran, ``A/psr/ratio``, ``score``, ``suppression``, ``promotion``, ``significant`` ``(M, cells)`` with
            ``psr/cells`` ``(cells, 4)``: top, left, bottom, right; where IS ran, ``A/is/cam_clean_label`` F(x0, t0),
            ``cam_clean_target`` F(x0, t), ``cam_adversarial_label`` F(x', t0), ``cam_adversarial_target`` F(x', t),
            ``(M, H, W)``; those of a further explainer under its name instead of ``cam``.

    Raises:
        ValueError: If an array is missing, has another shape, or holds objects; nothing is written then.
    """
    plain = {name: _array(arrays[name]) for name in sorted(arrays)}
    _check(plain, path)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **plain)
    write_atomically(path, buffer.getvalue())


def load_examples(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the examples of one evaluation; never runs code from the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or incomplete.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; {REMEDY}") from None
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read ({str(error).splitlines()[0]}); {REMEDY}") from None
    _check(arrays, path)
    return arrays


def attacks_of(arrays: Arrays) -> list[str]:
    """Return the names of the attacks that have examples, sorted."""
    return sorted(name.removesuffix("/images") for name in arrays if name.endswith("/images"))


def _array(value: Any) -> NDArray[Any]:
    """Return an array, out of a tensor on any device too."""
    return np.ascontiguousarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _check(arrays: Arrays, path: str | Path) -> None:
    """Refuse missing arrays, and shapes that do not belong together."""
    for name, array in arrays.items():
        if array.dtype == object:
            raise ValueError(f"{path}: {name} holds Python objects; give numbers")
    for attack in attacks_of(arrays):
        missing = [name for name in _NEEDED if f"{attack}/{name}" not in arrays]
        if missing:
            raise ValueError(f"{path} has {attack}/images, but not {', '.join(missing)}; {REMEDY}")
        images = arrays[f"{attack}/images"]
        if images.ndim != 4:
            raise ValueError(f"{path}: {attack}/images must be (M, C, H, W), got {images.shape}; {REMEDY}")
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("indices", "labels", "targets"), images.shape[:1])
        shapes["adversarials"] = images.shape
        psr = [name for name in arrays if name.startswith(f"{attack}/psr/")]
        if psr and "psr/cells" not in arrays:
            raise ValueError(f"{path} has {psr[0]}, but not psr/cells; {REMEDY}")
        if psr:
            shapes |= {f"psr/{name}": (len(images), len(arrays["psr/cells"])) for name in _PER_CELL}
        shapes |= {
            name.removeprefix(f"{attack}/"): (len(images), *images.shape[2:])
            for name in arrays
            if name.startswith(f"{attack}/is/") and name.endswith(_MAPS)
        }
        for name, shape in shapes.items():
            found = arrays.get(f"{attack}/{name}")
            if found is None or found.shape != shape:
                got = "nothing" if found is None else found.shape
                raise ValueError(f"{path}: {attack}/{name} must be {shape}, got {got}; {REMEDY}")
