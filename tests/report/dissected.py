"""What a dissection leaves behind, synthetic, in the formats of its files, for the tests of the report."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from advscope.report import write_units
from advscope.report.top_images import TopImages, write_top_images
from advscope.report.unit_examples import UnitExamples, write_unit_examples

LAYERS = ("conv1", "layer2", "layer10")
CONCEPTS = (("red", "color"), ("dots", "texture"), ("wheel", "part"), ("airplane", "object"), ("beach", "scene"))
TOPS = (10, 20, 30)


def make_units(seed: int, layers: tuple[str, ...] = LAYERS, count: int = 40) -> list[dict[str, Any]]:
    """Rows of ``units.csv``; every ninth unit has no sensitivity, the fifth no concept."""
    random = np.random.default_rng(seed)
    rows = []
    for layer in layers:
        for number in range(count):
            concept, category = CONCEPTS[random.integers(len(CONCEPTS))] if number != 5 else ("", "")
            iou, sensitivity = 0.12 * random.random(), 5 * random.random()
            rows.append({
                "layer": layer, "unit": number, "threshold": 1.0, "maximum": 2.0, "kind": "regular",
                "concept": concept, "category": category, "iou": iou, "iou_low": iou - 0.01, "iou_high": iou + 0.01,
                "detector": bool(concept) and iou > 0.04, "interpretability": iou / 5,
                "sensitivity": sensitivity if number % 9 else np.nan, "sensitivity_low": sensitivity - 0.1,
                "sensitivity_high": sensitivity + 0.1, "sensitivity_all": sensitivity,
                "area": 0.05, "adversarial_concept": "", "adversarial_category": "", "adversarial_iou": 0.1,
            })  # fmt: skip
    return rows


def make_significance(seed: int, layers: tuple[str, ...] = LAYERS, images: int = 180) -> list[dict[str, Any]]:
    """Rows of ``significance.csv``: p falls with N; of the first layer's regular units the matched p is undefined."""
    random = np.random.default_rng(seed)
    rows = []
    for regular in (0, 1):
        for place, layer in enumerate(layers):
            for top in TOPS:
                p = float(np.clip(random.uniform(0.2, 1.5) * 10 ** -(1 + place * top / 20), 1e-4, 1))
                matched = "" if regular and place == 0 else min(1.0, 3 * p)
                rows.append({
                    "layer": layer, "top": top, "units": 64, "regular": regular, "images": images, "p": p,
                    "p_approximate": p, "method": "normal", "p_corrected": min(1, 9 * p), "p_matched": matched,
                    "p_matched_corrected": "" if matched == "" else min(1.0, 9 * float(matched)), "undefined": 1,
                })  # fmt: skip
    return rows


def make_masking(layers: tuple[str, ...] = ("layer10",), images: int = 200) -> list[dict[str, Any]]:
    """Rows of ``masking.csv``: masking sensitive units costs clean accuracy late, and gains robust accuracy."""
    rows = []
    for layer in layers:
        for order, slope in (("sensitive", 0.2), ("interpretable", 0.6), ("random", 0.4)):
            for masked in (0, 4, 8, 16, 32):
                clean, robust = 0.9 - slope * masked / 64, 0.1 + 0.4 * (1 - slope) * masked / 64
                rows.append({
                    "layer": layer, "order": order, "masked": masked, "units": 64, "attack": "pgd20", "images": images,
                    "clean_accuracy": clean, "clean_low": clean - 0.05, "clean_high": clean + 0.05,
                    "robust_accuracy": robust, "robust_low": robust - 0.03, "robust_high": robust + 0.04,
                })  # fmt: skip
    return rows


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as they are."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def disc(size: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A disc in a square; all three in shares of its side."""
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    return np.hypot(rows - centre[0], columns - centre[1]) < radius


def make_pictures(seed: int, count: int, size: int) -> np.ndarray:
    """Pictures of two discs on a gradient, ``(count, 3, size, size)``."""
    random = np.random.default_rng(seed)
    pictures = np.zeros((count, 3, size, size), np.float32)
    for place in range(count):
        ground, *colours = random.uniform(0, 1, (3, 3, 1, 1))
        picture = ground * np.linspace(0.5, 1, size)[:, None]
        for colour in colours:
            picture = np.where(disc(size, tuple(random.uniform(0.3, 0.7, 2)), 0.2), colour, picture)
        pictures[place] = picture
    return pictures


def make_examples(seed: int = 0, pairs: int = 2, size: int = 32, layers: tuple[str, ...] = LAYERS) -> UnitExamples:
    """Image pairs with seven units; those of the last layer are suppressed or promoted."""
    random = np.random.default_rng(seed)
    images = make_pictures(seed, pairs, size)
    noise = random.choice([-8 / 255, 8 / 255], images.shape)
    placed = [*((layer, number) for layer in layers[:-1] for number in (3, 17)), *((layers[-1], n) for n in (5, 60, 7))]
    roles = ["detector"] * (len(placed) - 3) + ["suppressed", "promoted", "promoted"]
    masks = np.zeros((2, pairs, len(placed), size, size), dtype=bool)
    for pair in range(pairs):
        for place, role in enumerate(roles):
            centre = tuple(random.uniform(0.25, 0.75, 2))
            growth = {"detector": 0.0, "suppressed": -0.15, "promoted": 0.02 * place}[role]
            masks[0, pair, place] = disc(size, centre, 0.2)
            masks[1, pair, place] = disc(size, centre, 0.2 + growth)
    cell = size // 8
    cells = np.array(
        [(top, left, top + cell, left + cell) for top in range(0, size, cell) for left in range(0, size, cell)]
    )
    maps = [
        np.stack([10 * np.exp(-(((np.mgrid[:size, :size] / size - c) ** 2).sum(0)) / 0.05) for _ in range(pairs)])
        for c in (0.4, 0.6)
    ]
    concepts = [CONCEPTS[place % len(CONCEPTS)] for place in range(len(placed))]
    return UnitExamples(
        images, (images + noise).clip(0, 1).astype(np.float32), masks[0], masks[1],
        np.array([layer for layer, _ in placed]), np.array([number for _, number in placed]),
        np.array([concept for concept, _ in concepts]), np.array([category for _, category in concepts]),
        np.array(roles), 3 * np.arange(pairs) + 3, np.array(["table lamp"] * pairs),
        np.array(["studio couch, day bed"] * pairs), maps[0].astype(np.float32), maps[1].astype(np.float32), cells,
        random.integers(-1, 3, (pairs, len(cells))).astype(np.int8),
    )  # fmt: skip


def make_top_images(seed: int = 0, units: int = 3, images: int = 5, size: int = 32) -> TopImages:
    """Top images of a few units; the last unit has one image less."""
    random = np.random.default_rng(seed)
    masks = np.stack([disc(size // 4, tuple(random.uniform(0.3, 0.7, 2)), 0.3) for _ in range(units * images)])
    indices = np.arange(units * images).reshape(units, images)
    indices[-1, -1] = -1
    return TopImages(
        make_pictures(seed, units * images, size).reshape(units, images, 3, size, size),
        masks.reshape(units, images, size // 4, size // 4), np.array(["layer10"] * units), np.arange(units) * 11,
        np.array([CONCEPTS[place % 5][0] for place in range(units)]),
        np.array([CONCEPTS[place % 5][1] for place in range(units)]),
        np.sort(random.random((units, images)) * 9)[:, ::-1].copy(), indices,
    )  # fmt: skip


def make_activations(
    arrays: dict[str, Any], seed: int, layers: tuple[str, ...] = LAYERS, attack: str = "pgd20"
) -> dict[str, Any]:
    """Activations of an attack's examples, to be laid over its arrays: each layer half as fine as the one before."""
    random = np.random.default_rng(seed)
    found = {}
    images, adversarials = arrays[f"{attack}/images"], arrays[f"{attack}/adversarials"]
    for place, layer in enumerate(layers):
        step = 2 ** min(place // 4 + 1, 3)
        gain, shift = random.uniform(1, 9), random.normal(0, 0.3)
        for kind, pictures in (("clean", images), ("adversarial", adversarials)):
            field = gain * np.asarray(pictures).mean(1)[:, ::step, ::step]
            found[f"{attack}/activations/{kind}/{layer}"] = (field + shift * (kind != "clean")).astype(np.float32)
    return found


def write_dissection(results: Path, seed: int = 0) -> None:
    """Write all files of a dissection into an evaluation's folder."""
    write_units(results / "units.csv", make_units(seed))
    write_csv(results / "significance.csv", make_significance(seed))
    write_csv(results / "masking.csv", make_masking())
    write_unit_examples(results / "unit_examples.npz", make_examples(seed))
    write_top_images(results / "top_images.npz", make_top_images(seed))
