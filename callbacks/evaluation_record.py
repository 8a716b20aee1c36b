"""What an evaluation leaves behind: summary.json, per-image rows, arrays, figures, timing; and the same on W&B."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.report import draw_figures, save_examples, write_rows, write_summary, write_units
from callbacks.monitor import Monitor
from callbacks.run_record import versions
from callbacks.wandb_evaluation import log_evaluation


class EvaluationRecord(Callback):
    """Gathers what the module and the monitors found, and writes it once, from the first process.

    ================= =======================================================================================
    File              Content
    ================= =======================================================================================
    ``summary.json``  Every figure with n and interval, counts, settings, versions, checksums; same bytes each time
    ``timing.json``   Seconds, and what they depend on
    ``images.csv``    One row per image and attack
    ``arrays.npz``    A few attacked images with what figures need of them
    ``units.csv``     One row per unit and layer, where units were dissected
    ``figures/``      Figures as PNG
    ================= =======================================================================================

    Args:
        folder: Where to write.
        run: Name of the run.
        name: Name of the evaluation.
        checkpoint: Name of the weights' file.
        settings: Every setting, as plain values.
        examples: Number of attacked images whose arrays are kept, per attack.
    """

    def __init__(
        self, folder: Path, run: str, name: str, checkpoint: str, settings: dict[str, Any], examples: int = 6
    ) -> None:
        self.folder = folder
        self.run = run
        self.name = name
        self.checkpoint = checkpoint
        self.settings = settings
        self.examples = examples
        self.rows: dict[str, list[dict[str, Tensor]]] = {}
        self.arrays: dict[str, list[dict[str, Tensor]]] = {}
        self.started = 0.0
        self.images = 0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.rows, self.arrays, self.images = {}, {}, 0
        self.started = time.perf_counter()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep each image's fate, and the images of the first attacked ones."""
        self.images += len(batch.indices)
        for attack, result in outputs.items():
            self.rows.setdefault(attack, []).append(fates(result, batch.labels))
            kept = sum(len(arrays["indices"]) for arrays in self.arrays.get(attack, []))
            chosen = result.attacked.nonzero().flatten()[: max(0, self.examples - kept)]
            names = ("images", "adversarials", "indices", "labels", "targets")
            few = {name: getattr(result, name)[chosen].cpu() for name in names}
            self.arrays.setdefault(attack, []).append(few)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything; the other processes hand over what they have."""
        seconds = time.perf_counter() - self.started
        monitors = [callback for callback in trainer.callbacks if isinstance(callback, Monitor)]  # type: ignore[attr-defined]
        still = pl_module.still
        part = {
            "rows": [merged(self.rows), *(merged(monitor.rows) for monitor in monitors)],
            "arrays": [merged(self.arrays), *(named(monitor) for monitor in monitors)],
            "shared": {
                f"{monitor.measure}/{name}": array for monitor in monitors for name, array in monitor.shared.items()
            },
            "passes": (still.forwards, still.backwards),
            "images": self.images,
        }
        parts = gathered(part)
        if not trainer.is_global_zero:
            return
        rows = joined([source for each in parts for source in each["rows"]])
        order = trainer.datamodule.split_indices("test")  # type: ignore[attr-defined]
        arrays = self.chosen_examples([source for each in parts for source in each["arrays"]], order)
        for each in parts:
            arrays |= each["shared"]
        estimates, counted = dict(pl_module.estimates), counts(rows)
        for monitor in monitors:
            estimates |= monitor.estimates
            # Those of attacks on other images than the test's.
            counted = monitor.counts | counted
        summary = {
            "name": self.name,
            "run": {
                "name": self.run,
                "objective": type(pl_module).__name__,
                "network": type(pl_module.network).__name__,
                "checkpoint": self.checkpoint,
                "weights_sha256": weights_checksum(pl_module.network),  # type: ignore[arg-type]
            },
            "data": {
                "name": type(trainer.datamodule).__name__,  # type: ignore[attr-defined]
                "split": "test",
                "n": sum(each["images"] for each in parts),
                "sha256": trainer.datamodule.checksum("test"),  # type: ignore[attr-defined]
                "classes": list(trainer.datamodule.class_names),  # type: ignore[attr-defined]
            },
            "settings": self.settings,
            "versions": versions(),
            "passes": {
                "forwards": sum(each["passes"][0] for each in parts),
                "backwards": sum(each["passes"][1] for each in parts),
            },
            "counts": counted,
            "figures": estimates,
        }
        write_summary(self.folder / "summary.json", summary)
        write_rows(self.folder / "images.csv", rows)
        # Every process has the same units: their counts were added up before.
        units = [unit for monitor in monitors for unit in monitor.units]
        if units:
            write_units(self.folder / "units.csv", units)
        else:
            (self.folder / "units.csv").unlink(missing_ok=True)  # of an evaluation that had some
        save_examples(self.folder / "arrays.npz", arrays)
        timing = {
            "seconds": round(seconds, 2),
            "images_per_second": round(summary["data"]["n"] / seconds, 2),  # type: ignore[index]
            "device": str(pl_module.device),
            "threads": torch.get_num_threads(),
            "processes": len(parts),
        }
        (self.folder / "timing.json").write_text(json.dumps(timing, indent=1) + "\n")
        for old in (self.folder / "figures").glob("*.png"):  # of an evaluation that had others
            old.unlink()
        log_evaluation(trainer, estimates, {"images": rows, "units": units}, draw_figures(self.folder))

    def chosen_examples(self, sources: list[dict[str, dict[str, Tensor]]], order: Tensor) -> dict[str, Tensor]:
        """Return the arrays of the first images, in the split's order, that every source has, joined by index."""
        place_of = {index: place for place, index in enumerate(order.tolist())}
        arrays: dict[str, Tensor] = {}
        for attack in {attack for source in sources for attack in source}:
            by_name: dict[str, dict[int, Tensor]] = {}
            for source in sources:
                fields = source.get(attack, {})
                for place, index in enumerate(fields.get("indices", torch.empty(0)).tolist()):
                    for name, field in fields.items():
                        by_name.setdefault(name, {})[index] = field[place]
            common = set.intersection(*(set(rows) for rows in by_name.values())) if by_name else set()
            # Each process has the first of its share: only those of all are the same for any number of processes.
            first = sorted(sorted(common, key=place_of.__getitem__)[: self.examples])
            if first:
                for name, rows in by_name.items():
                    arrays[f"{attack}/{name}"] = torch.stack([rows[index] for index in first])
        return arrays


def fates(result: AttackedBatch, labels: Tensor) -> dict[str, Tensor]:
    """Return the columns of the per-image table that every evaluation has; a label is -1 where there is no class."""
    columns = {
        "index": result.indices,
        "label": labels,
        "prediction": result.logits.argmax(1),
        "target": result.targets,
        "adversarial_prediction": result.adversarial_logits.argmax(1),
        "eligible": result.eligible,
        "attacked": result.attacked,
    }
    return {name: column.cpu() for name, column in columns.items()}


def merged(parts: dict[str, list[dict[str, Tensor]]]) -> dict[str, dict[str, Tensor]]:
    """Return each attack's columns over all batches."""
    return {
        attack: {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        for attack, batches in parts.items()
        if batches
    }


def named(monitor: Monitor) -> dict[str, dict[str, Tensor]]:
    """Return a monitor's example arrays under names that begin with its measure."""
    return {
        attack: {name if name == "indices" else f"{monitor.measure}/{name}": array for name, array in arrays.items()}
        for attack, arrays in merged(monitor.arrays).items()
    }


def joined(sources: list[dict[str, dict[str, Tensor]]]) -> list[dict[str, Any]]:
    """Return one row per image and attack, with the columns of every source."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for source in sources:
        for attack, columns in source.items():
            names = list(columns)
            values = [columns[name].tolist() for name in names]
            for fields in zip(*values, strict=True):
                row = dict(zip(names, fields, strict=True))
                rows.setdefault((attack, row["index"]), {"attack": attack}).update(row)
    return [rows[key] for key in sorted(rows)]


def counts(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return how many images each attack could count, and on how many it failed."""
    result: dict[str, dict[str, int]] = {}
    for row in rows:
        tally = result.setdefault(row["attack"], dict.fromkeys(("eligible", "ineligible", "attacked", "failed"), 0))
        tally["eligible" if row["eligible"] else "ineligible"] += 1
        if row["eligible"]:
            tally["attacked" if row["attacked"] else "failed"] += 1
    return result


def gathered(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of all processes."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return [part]
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, part)
    return parts


def weights_checksum(network: nn.Module) -> str:
    """Return the sha256 of a network's weights and buffers, with their names, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
