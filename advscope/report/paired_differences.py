"""Runs against the first of them, image by image."""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.intervals import Estimate, mean
from advscope.report.image_rows import FIXED

Rows = dict[str, dict[str, NDArray[Any]]]
"""One run's per-image rows: by attack, then by column."""


def accuracy_differences(runs: list[Rows], stage: str) -> dict[str, tuple[Estimate | None, ...]]:
    """Return the differences of clean accuracy, of robust accuracy per attack, and of that under all attacks.

    Args:
        runs: Each run's rows, by attack.
        stage: First part of the log keys.

    Returns:
        By log key each further run minus the first, over the images that every run has; None where one of the two did
        not run the attack. Accuracy under all attacks is left out where the runs had different ones.
    """
    correct: list[dict[str, dict[int, float]]] = []
    for run in runs:
        found: dict[str, dict[int, float]] = {}
        for attack, every in run.items():
            # An image without a class has no accuracy.
            rows = {name: column[every["label"] >= 0] for name, column in every.items()}
            robust = rows["adversarial_prediction"] == rows["label"]
            found[attack] = dict(zip(rows["index"].tolist(), robust.astype(float).tolist(), strict=True))
            clean = (rows["prediction"] == rows["label"]).astype(float).tolist()
            found.setdefault("clean", {}).update(zip(rows["index"].tolist(), clean, strict=True))
        under_attack = [values for attack, values in found.items() if attack != "clean"]
        if under_attack:
            everywhere = set.intersection(*(set(values) for values in under_attack))
            found["all"] = {index: min(values[index] for values in under_attack) for index in everywhere}
        correct.append(found)
    same_attacks = all(run.keys() == runs[0].keys() for run in runs)
    differences = {}
    for name in dict.fromkeys(name for found in correct for name in found):
        # Withstanding each of two attacks and each of three are different things.
        if name == "all" and not same_attacks:
            continue
        key = f"{stage}/clean/accuracy" if name == "clean" else f"{stage}/{name}/robust_accuracy"
        having = [found[name] for found in correct if name in found]
        shared = set.intersection(*(set(values) for values in having))
        differences[key] = _paired(
            [{index: found[name][index] for index in shared} if name in found else None for found in correct]
        )
    return differences


def measure_differences(runs: list[Rows], attack: str, stage: str) -> dict[str, tuple[Estimate | None, ...]]:
    """Return the differences of each measure under one attack, over the images attacked in every run that ran it.

    Args:
        runs: Each run's rows, by attack.
        attack: Name of the attack; at least one run has it.
        stage: First part of the log keys.

    Returns:
        By log key each further run minus the first; None where one of the two has no such column, nan with ``n = 0``
        where no image counts in both.
    """
    having = [run[attack] for run in runs if attack in run]
    shared = reduce(np.intersect1d, [rows["index"][rows["attacked"]] for rows in having])
    differences = {}
    for name in dict.fromkeys(name for rows in having for name in rows if name not in FIXED):
        values: list[dict[int, float] | None] = []
        for run in runs:
            rows = run.get(attack, {})
            if name not in rows:
                values.append(None)
                continue
            counts = np.isin(rows["index"], shared) & ~np.isnan(rows[name])
            values.append(dict(zip(rows["index"][counts].tolist(), rows[name][counts].tolist(), strict=True)))
        differences[f"{stage}/{attack}/{name}"] = _paired(values)
    return differences


def _paired(runs: list[dict[int, float] | None]) -> tuple[Estimate | None, ...]:
    """Return each further run's mean difference to the first one, over the images of both."""
    first = runs[0]
    estimates: list[Estimate | None] = []
    for other in runs[1:]:
        if first is None or other is None:
            estimates.append(None)
            continue
        differences = np.array([other[index] - first[index] for index in sorted(first.keys() & other.keys())])
        estimates.append(mean(float(differences.sum()), float((differences**2).sum()), len(differences)))
    return tuple(estimates)
