"""The example images of one evaluation, as a file: ``RUN/results/NAME/arrays.npz``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from advscope.report.archive import plain_array, read_arrays, write_arrays
from advscope.report.summary import REMEDY

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
            ``(M, H, W)``; those of a further explainer under its name instead of ``cam``. Where activations were kept,
            ``A/activations/clean/LAYER`` and ``A/activations/adversarial/LAYER``, a layer's mean over its channels
            ``(M, h, w)``.

    Raises:
        ValueError: If an array is missing, has another shape, or holds objects; nothing is written then.
    """
    plain = {name: plain_array(arrays[name]) for name in sorted(arrays)}
    _check(plain, path)
    write_arrays(path, plain)


def load_examples(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the examples of one evaluation; never runs code from the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or incomplete.
    """
    arrays = read_arrays(path, REMEDY)
    _check(arrays, path)
    return arrays


def attacks_of(arrays: Arrays) -> list[str]:
    """Return the names of the attacks that have examples, sorted."""
    return sorted(name.removesuffix("/images") for name in arrays if name.endswith("/images"))


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
        shapes |= _activation_shapes(arrays, attack, len(images))
        for name, shape in shapes.items():
            found = arrays.get(f"{attack}/{name}")
            if found is None or found.shape != shape:
                got = "nothing" if found is None else found.shape
                raise ValueError(f"{path}: {attack}/{name} must be {shape}, got {got}; {REMEDY}")


def _activation_shapes(arrays: Arrays, attack: str, examples: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the layers' activations: one of a clean image has its like of the adversarial one."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, array in arrays.items():
        _, found, layer = name.partition(f"{attack}/activations/clean/")
        if found and name.startswith(f"{attack}/"):
            for kind in ("clean", "adversarial"):
                shapes[f"activations/{kind}/{layer}"] = (examples, *array.shape[-2:])
    return shapes
