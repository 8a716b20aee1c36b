"""A dissection as files: tables of units, of significance, in NetDissect's format, and every count."""

import csv
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.intervals import Estimate
from advscope.tables import write_netdissect_table, write_significances, write_units

if TYPE_CHECKING:
    from advscope.measures.dissection.dissection import Dissection

ABOUT = "dissection.json"
"""The file that says how it was done: its place shows that a folder holds a dissection, and a whole one."""


def save_dissection(dissection: "Dissection", folder: str | Path) -> None:
    """Write a dissection into a folder, which is there when all of it is written, and not before.

    The bytes are the same each time. It is written beside the folder, into a hidden one whose name ends in
    ``.partial``; what a writer that was killed has left there goes with the next dissection that is written to the same
    place. So no two processes may write to one place at once.

    ============================= ==========================================================================
    File                          Content
    ============================= ==========================================================================
    ``units.csv``                 One row per unit and layer
    ``significance.csv``          One row per layer, N and choice of units
    ``netdissect/L-result.csv``   Layer L in the format of NetDissect's first version, IoU by its union
    ``layers/L.npz``              Every tensor of the layer: thresholds, IoU with each concept, counts
    ``concepts.csv``              Number, name and category of each column of the IoU
    ``dissection.json``           Settings, size of the masks, images by fate, figures of every layer
    ============================= ==========================================================================

    Args:
        dissection: What is to be written.
        folder: Where; must not exist, be empty, or hold an earlier dissection, which is replaced.

    Raises:
        FileExistsError: If the folder holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / ABOUT).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already and holds no dissection: name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        _write(dissection, partial)
        if folder.exists():
            # Two names are not exchanged in one step: for a moment there is none, but never a mixture.
            replaced = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.replaced")
            os.replace(folder, replaced)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for other in list(folder.parent.iterdir()):
        if re.fullmatch(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{32}}\.(partial|replaced)", other.name):
            shutil.rmtree(other, ignore_errors=True)


def _write(dissection: "Dissection", folder: Path) -> None:
    (folder / "layers").mkdir(parents=True)
    write_units(folder / "units.csv", dissection.rows())
    write_significances(folder / "significance.csv", dissection.significance)
    names = [concept.name for concept in dissection.concepts]
    categories = [concept.category for concept in dissection.concepts]
    _write_concepts(folder / "concepts.csv", dissection)
    for layer, found in dissection.items():
        write_netdissect_table(
            folder / "netdissect" / f"{layer}-result.csv",
            found.intersections.cpu().numpy(),
            found.category_areas.cpu().numpy(),
            found.concept_areas.cpu().numpy(),
            names,
            categories,
            list(dict.fromkeys(categories)),
        )
        tensors = {name: value.cpu().numpy() for name, value in found._asdict().items() if hasattr(value, "cpu")}
        for name in ("sensitivity_estimates", "sensitivity_all", "best_iou"):
            tensors[name] = np.array([(one.value, one.low, one.high) for one in getattr(found, name)])
        np.savez_compressed(folder / "layers" / f"{layer}.npz", allow_pickle=False, **tensors)
    about = {
        "settings": asdict(dissection.settings),
        "mask_size": list(dissection.mask_size),
        "images_unlabelled": dissection.unlabelled,
        "layers": {layer: _about_layer(found.counts, found.figures) for layer, found in dissection.items()},
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")


def _about_layer(counts: Mapping[str, int], figures: Mapping[str, Estimate]) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return None if value != value else value  # JSON has no nan

    return {
        "counts": dict(counts),
        "figures": {
            name: {key: number(value) for key, value in figure._asdict().items()} for name, figure in figures.items()
        },
    }


def _write_concepts(path: Path, dissection: "Dissection") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("number", "name", "category"))
        writer.writerows(dissection.concepts)
