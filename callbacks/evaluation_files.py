"""The files of a finished evaluation, from what its processes found."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from advscope.report import (
    draw_figures,
    read_results,
    save_examples,
    write_columns,
    write_paper_tables,
    write_summary,
    write_units,
)
from callbacks.evaluation_identity import weights_checksum
from callbacks.gathering import chosen_examples, counts, joined
from callbacks.monitor import Monitor
from callbacks.run_record import versions
from callbacks.wandb_evaluation import TABLE_ROWS, log_evaluation

OF_MONITORS = ("significance.csv", "masking.csv", "unit_examples.npz", "top_images.npz")
"""Files that monitors write themselves, beside the folder ``dissection``."""


def write_evaluation(
    folder: Path,
    named: dict[str, str],
    settings: dict[str, Any],
    examples: int,
    trainer: Trainer,
    pl_module: LightningModule,
    parts: list[dict[str, Any]],
) -> None:
    """Write the files of an evaluation, and log them to W&B.

    Args:
        folder: Where to write.
        named: Names: ``run``, ``name`` of the evaluation, ``checkpoint``.
        settings: Every setting, as plain values.
        examples: Number of attacked images whose arrays are kept, per attack.
        trainer: Whose test has ended.
        pl_module: What was tested.
        parts: What each process found; see :class:`~callbacks.EvaluationRecord`.
    """
    data, monitors = trainer.datamodule, monitors_of(trainer)  # type: ignore[attr-defined]
    attacks = joined([source for each in parts for source in each["rows"]])
    sources = [source for each in parts for source in each["arrays"]]
    arrays = chosen_examples(sources, data.split_indices("test"), examples)
    for each in parts:
        arrays |= each["shared"]
    estimates, counted = dict(pl_module.estimates), counts(attacks)  # type: ignore[call-overload]
    for monitor in monitors:
        estimates |= monitor.estimates
        # Those of attacks on other images than the test's.
        counted = monitor.counts | counted
    states = [each["state"] for each in parts]
    broken = {index: reason for each in parts for index, reason in each["broken"].items()}
    summary: dict[str, Any] = {
        "name": named["name"],
        "run": {
            "name": named["run"],
            "objective": type(pl_module).__name__,
            "network": type(pl_module.network).__name__,
            "checkpoint": named["checkpoint"],
            "weights_sha256": weights_checksum(pl_module.network),  # type: ignore[arg-type]
        },
        "data": {
            "name": type(data).__name__,
            "split": "test",
            "n": sum(state["images"] for state in states),
            "of": len(data.split_indices("test")),
            "sha256": data.checksum("test"),
            "classes": list(data.class_names),
        },
        "settings": settings,
        "versions": versions(),
        "passes": {
            kind: sum(state["passes"][place] for state in states)
            for place, kind in enumerate(("forwards", "backwards"))
        },
        "counts": counted,
        "figures": estimates,
    }
    if not all(each["complete"] for each in parts):
        summary["data"]["complete"] = False
    if data.source is not None:
        summary["data"]["source"] = data.class_names[data.source]
    if broken:
        summary["data"]["broken"] = {str(index): broken[index] for index in sorted(broken)}
    write_columns(folder / "images.csv", attacks)
    # Every process has the same units: their counts were added up before.
    units = [unit for monitor in monitors for unit in monitor.units]
    if units:
        write_units(folder / "units.csv", units)
    else:
        (folder / "units.csv").unlink(missing_ok=True)  # of an evaluation that had some
    for name in OF_MONITORS:  # of an evaluation that had others
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "dissection", ignore_errors=True)
    for monitor in monitors:
        monitor.write(folder)
    save_examples(folder / "arrays.npz", arrays)
    write_summary(folder / "summary.json", summary)
    write_paper_tables(read_results(folder.parent.parent, folder.name))
    seconds = max(state["seconds"] for state in states)
    timing = {
        "seconds": round(seconds, 2),
        "images_per_second": round(summary["data"]["n"] / seconds, 2),
        "device": str(pl_module.device),
        "threads": torch.get_num_threads(),
        "processes": len(parts),
        "sessions": max(state["sessions"] for state in states),
    }
    (folder / "timing.json").write_text(json.dumps(timing, indent=1) + "\n")
    for old in (*(folder / "figures").glob("*.png"), *(folder / "figures").glob("*.svg")):
        old.unlink()  # of an evaluation that had others
    tables = {"images": first_rows(attacks), "units": units}
    for monitor in monitors:
        tables |= monitor.tables
    log_evaluation(trainer, estimates, tables, draw_figures(folder))


def monitors_of(trainer: Trainer) -> list[Monitor]:
    """Return the monitors of a trainer, in their order."""
    return [callback for callback in trainer.callbacks if isinstance(callback, Monitor)]  # type: ignore[attr-defined]


def first_rows(attacks: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many rows, one per image and attack, as a table on W&B has."""
    rows: list[dict[str, Any]] = []
    for attack, columns in attacks.items():
        wanted = {name: column[: TABLE_ROWS - len(rows)].tolist() for name, column in columns.items()}
        values = zip(*wanted.values(), strict=True)
        rows += [{"attack": attack} | dict(zip(wanted, row, strict=True)) for row in values]
    return rows
