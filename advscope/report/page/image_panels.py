"""Image by image: what each run's attack did to an image, and what explains it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from advscope.report.comparison import is_main
from advscope.report.examples import Arrays, load_examples
from advscope.report.figure_style import classify
from advscope.report.page.pictures import Pictures, levels, to_bytes
from advscope.report.page.plot import number
from advscope.report.run_results import RunResults
from advscope.report.score_columns import chance_behind_score

MAPS = ("cam_clean_label", "cam_clean_target", "cam_adversarial_label", "cam_adversarial_target")
"""The class activation maps, in the page's order."""


def examples_of(runs: Iterable[RunResults]) -> list[Arrays]:
    """Read each run's example arrays; no arrays where the evaluation kept none.

    Raises:
        ValueError: If a file is damaged.
    """
    paths = [run.results / "arrays.npz" for run in runs]
    return [load_examples(path) if path.is_file() else {} for path in paths]


def image_panels(
    runs: Sequence[RunResults], examples: Sequence[Arrays], attack: str, pictures: Pictures
) -> dict[str, Any]:
    """Return what the page shows of each image of which at least one run kept an example.

    Args:
        runs: The runs.
        examples: Their arrays, as :func:`examples_of` returns them.
        attack: Name of the attack.
        pictures: Gets the pictures.

    Returns:
        ``measures``, the names of the per-image values, and ``main``, which of them belong to the short table;
        ``images``: for each its ``index``, ``label``, the ``scale`` at which its perturbations are drawn (the largest
        of all runs, in image units, so that runs can be compared), and for each run what became of it (None where the
        run never saw it), with ``shown`` None where the run kept no pictures of it.

    Raises:
        ValueError: If images have neither 1 nor 3 channels.
    """
    measures = chance_behind_score(dict.fromkeys(name for run in runs for name in run.columns if attack in run.attacks))
    kept = [_places(arrays, attack) for arrays in examples]
    rows = [_rows(run, attack) for run in runs]
    images = []
    for index in sorted({index for places in kept for index in places}):
        scale = max(
            float(np.abs(arrays[f"{attack}/adversarials"][place] - arrays[f"{attack}/images"][place]).max())
            for arrays, place in ((one, places.get(index)) for one, places in zip(examples, kept, strict=True))
            if place is not None
        )
        fates: list[dict[str, Any] | None] = []
        for run, arrays, places, row in zip(runs, examples, kept, rows, strict=True):
            shown = _shown(arrays, attack, places[index], scale, pictures) if index in places else None
            fates.append(_fate(run, attack, row.get(index), measures, shown))
        seen = [fate for fate in fates if fate is not None]
        images.append(
            {"index": index, "label": seen[0]["label"] if seen else -1, "scale": number(scale), "runs": fates}
        )
    return {"measures": measures, "main": [is_main(name) for name in measures], "images": images}


def _places(arrays: Arrays, attack: str) -> dict[int, int]:
    """Return where each image stands in a run's arrays."""
    indices = arrays.get(f"{attack}/indices", np.array([], dtype=np.int64))
    return {int(index): place for place, index in enumerate(indices)}


def _rows(run: RunResults, attack: str) -> Mapping[int, int]:
    """Return where each image stands in a run's per-image rows."""
    columns = run.attacks.get(attack, {})
    return {int(index): place for place, index in enumerate(columns.get("index", ()))}


def _fate(
    run: RunResults, attack: str, place: int | None, measures: Sequence[str], shown: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Return what became of an image in a run, None where the run never saw it."""
    if place is None:
        return None
    columns = run.attacks[attack]
    names = {"label": "label", "prediction": "prediction", "target": "target", "after": "adversarial_prediction"}
    fate: dict[str, Any] = {name: int(columns[column][place]) for name, column in names.items()}
    fate |= {name: bool(columns[name][place]) for name in ("eligible", "attacked")}
    fate["values"] = [number(float(columns[name][place])) if name in columns else None for name in measures]
    fate["shown"] = shown
    return fate


def _shown(arrays: Arrays, attack: str, place: int, scale: float, pictures: Pictures) -> dict[str, Any]:
    """Return an example's pictures, maps and cells."""
    image, adversarial = (arrays[f"{attack}/{name}"][place] for name in ("images", "adversarials"))
    perturbation = 0.5 + (adversarial - image) / (2 * scale or 1)
    found: dict[str, Any] = {
        "clean": pictures.add(to_bytes(image)),
        "adversarial": pictures.add(to_bytes(adversarial)),
        "perturbation": pictures.add(to_bytes(perturbation)),
        "size": [image.shape[1], image.shape[2]],
        "maps": None,
        "cells": None,
    }
    if all(f"{attack}/is/{name}" in arrays for name in MAPS):
        maps = np.stack([arrays[f"{attack}/is/{name}"][place] for name in MAPS]).astype(np.float64)
        low, high = (float(found) for found in (np.nanmin(maps), np.nanmax(maps)))
        found["maps"] = {
            "low": number(low), "high": number(high), "pictures": [pictures.add(levels(one, low, high)) for one in maps]
        }  # fmt: skip
    if f"{attack}/psr/ratio" in arrays:
        found["cells"] = _cells(arrays, attack, place)
    return found


def _cells(arrays: Arrays, attack: str, place: int) -> list[list[Any]]:
    """Return the significant cells: top, left, bottom, right, class, r."""
    ratios, significant = (arrays[f"{attack}/psr/{name}"][place] for name in ("ratio", "significant"))
    cells = arrays["psr/cells"]
    found = []
    for kind, here in enumerate(classify(ratios, significant)):
        for cell in np.flatnonzero(here):
            ratio = float(ratios[cell])
            # A cell of one effect only has an infinite r, for which JSON has no word.
            infinite = "\N{INFINITY}" if ratio > 0 else "\N{MINUS SIGN}\N{INFINITY}"
            shown = number(ratio) if np.isfinite(ratio) else infinite
            found.append([*(int(edge) for edge in cells[cell]), kind, shown])
    return found
