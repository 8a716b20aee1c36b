"""Two complete results folders, synthetic: what an evaluation leaves behind, for the tests of the report."""

from pathlib import Path
from typing import Any

import numpy as np

from advscope.intervals import Estimate, mean, rate
from advscope.report import save_examples, write_rows, write_summary

CLASSES = ["circle", "square", "triangle", "star", "ring"]
ATTACKS = ("fgsm", "pgd20")
# Alphabetical order and the network's order differ: "fc" < "layer10" < "layer2" < "stem".
LAYERS = ("stem", "layer2", "layer10", "fc")
MEASURES = (
    "psr/suppression_share",
    "psr/correlation",
    "is/score_clean",
    "is/chance_clean",
    *(f"bias/{layer}/{quantity}" for layer in LAYERS for quantity in ("relative", "raw")),
)


def make_rows(
    seed: int, n: int = 60, strength: float = 0.6, attacks: tuple[str, ...] = ATTACKS
) -> list[dict[str, Any]]:
    """Rows of ``n`` images with indices 3, 6, 9, ...; labels are the same for every seed, the rest is not."""
    random = np.random.default_rng(seed)
    labels = np.random.default_rng(0).integers(0, len(CLASSES), n)
    predictions = np.where(random.random(n) < 0.85, labels, (labels + 1) % len(CLASSES))
    rows = []
    for attack in attacks:
        fooled = np.where(random.random(n) < strength, (labels + 2) % len(CLASSES), predictions)
        for place in range(n):
            eligible = predictions[place] == labels[place]
            attacked = eligible and fooled[place] != labels[place]
            row = {
                "index": 3 * place + 3,
                "attack": attack,
                "label": labels[place],
                "prediction": predictions[place],
                "target": fooled[place],
                "adversarial_prediction": fooled[place],
                "eligible": eligible,
                "attacked": attacked,
            }
            values = random.random(len(MEASURES))
            if place % 7 == 0:
                values[1] = np.nan  # an undefined correlation
            rows.append(
                row | {name: value if attacked else np.nan for name, value in zip(MEASURES, values, strict=True)}
            )
    return rows


def make_summary(name: str, rows: list[dict[str, Any]], sha256: str = "a" * 64) -> dict[str, Any]:
    """The summary of those rows."""
    attacks = sorted({row["attack"] for row in rows})
    first = [row for row in rows if row["attack"] == attacks[0]]
    n = len(first)
    figures: dict[str, Estimate] = {
        "test/clean/accuracy": rate(sum(row["prediction"] == row["label"] for row in first), n)
    }
    withstood = dict.fromkeys((row["index"] for row in first), True)
    counts = {}
    for attack in attacks:
        mine = [row for row in rows if row["attack"] == attack]
        robust = [row["adversarial_prediction"] == row["label"] for row in mine]
        for row, held in zip(mine, robust, strict=True):
            withstood[row["index"]] &= bool(held)
        figures[f"test/{attack}/robust_accuracy"] = rate(sum(robust), n)
        attacked = sum(bool(row["attacked"]) for row in mine)
        eligible = sum(bool(row["eligible"]) for row in mine)
        counts[attack] = {
            "eligible": eligible, "ineligible": n - eligible, "attacked": attacked, "failed": eligible - attacked
        }  # fmt: skip
        for measure in MEASURES:
            values = np.array([row[measure] for row in mine if row["attacked"]])
            there = values[~np.isnan(values)]
            figures[f"test/{attack}/{measure}"] = mean(
                there.sum(), (there**2).sum(), len(there), len(values) - len(there)
            )
    figures["test/all/robust_accuracy"] = rate(sum(withstood.values()), n)
    return {
        "name": "standard",
        "run": {"name": name, "objective": "NaturalClassifier", "network": "CIFARResNet", "checkpoint": "last.ckpt"},
        "data": {"name": "ConceptShapes", "split": "test", "n": n, "sha256": sha256, "classes": CLASSES},
        "settings": {"model": {"init_args": {"attacks": {attack: {"eps": 8 / 255} for attack in attacks}}}},
        "versions": {"advscope": "0.1.0"},
        "passes": {"forwards": 4000, "backwards": 2000},
        "counts": counts,
        "figures": figures,
    }


def make_arrays(
    seed: int, examples: int = 3, size: int = 32, cell: int = 4, attacks: tuple[str, ...] = ATTACKS
) -> dict[str, Any]:
    """Arrays of images with a shape each, maps that peak on it, and PSR of every class."""
    random = np.random.default_rng(seed)
    edges = [(start, min(start + cell, size)) for start in range(0, size, cell)]
    cells = np.array([(top, left, bottom, right) for top, bottom in edges for left, right in edges])
    arrays: dict[str, Any] = {"psr/cells": cells}
    rows, columns = np.mgrid[:size, :size] / size
    for attack in attacks:
        images, maps = np.zeros((examples, 3, size, size), np.float32), np.zeros((4, examples, size, size))
        for place in range(examples):
            centre, radius = random.uniform(0.3, 0.7, 2), random.uniform(0.15, 0.3)
            inside = np.hypot(rows - centre[0], columns - centre[1]) < radius
            background, colour = random.uniform(0, 1, (2, 3, 1, 1))
            images[place] = np.where(inside, colour, background) + random.normal(0, 0.02, (3, size, size))
            for which in range(4):
                middle = centre + random.normal(0, 0.12, 2)
                distance = np.hypot(rows - middle[0], columns - middle[1])
                maps[which, place] = random.uniform(1, 9) * np.exp(-((distance / 0.25) ** 2)) - 0.7
        images = images.clip(0, 1)
        noise = random.choice([-8 / 255, 8 / 255], images.shape).astype(np.float32)
        suppression = np.exp(random.normal(-3, 1.2, (examples, len(cells))))
        promotion = np.exp(random.normal(-2.7, 1.2, (examples, len(cells))))
        score = suppression + promotion
        labels = random.integers(0, len(CLASSES), examples)
        names = ("clean_label", "clean_target", "adversarial_label", "adversarial_target")
        found = {
            "images": images,
            "adversarials": (images + noise).clip(0, 1),
            "indices": 3 * np.arange(examples) + 3,
            "labels": labels,
            "targets": (labels + 2) % len(CLASSES),
            "psr/suppression": suppression,
            "psr/promotion": promotion,
            "psr/score": score,
            "psr/ratio": np.log2(promotion / suppression),
            "psr/significant": score > np.quantile(score, 0.5, axis=1, keepdims=True),
            **{f"is/cam_{name}": found for name, found in zip(names, maps, strict=True)},
        }
        arrays |= {f"{attack}/{name}": array for name, array in found.items()}
    return arrays


def write_run(folder: Path, name: str, seed: int, **settings: Any) -> Path:
    """Write a run's results folder; ``settings`` as for :func:`make_rows`."""
    rows = make_rows(seed, **settings)
    results = folder / "results" / "standard"
    write_summary(results / "summary.json", make_summary(name, rows))
    write_rows(results / "images.csv", rows)
    save_examples(results / "arrays.npz", make_arrays(seed, attacks=tuple(sorted({row["attack"] for row in rows}))))
    return folder
