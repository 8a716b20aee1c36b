"""What an evaluation leaves behind: summary.json, per-image rows, arrays, figures, timing; and the same on W&B."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from advscope.batch import AttackedBatch
from advscope.report import Shards
from advscope.report.shards import ASIDE
from callbacks.evaluation_files import monitors_of, write_evaluation
from callbacks.evaluation_identity import evaluation_identity
from callbacks.gathering import Columns, gathered, merged
from callbacks.monitor import Monitor


class EvaluationRecord(Callback):
    """Keeps what the module and the monitors find, batch by batch, and writes it all at the end.

    ================= =======================================================================================
    File              Content
    ================= =======================================================================================
    ``summary.json``  Every figure with n and interval, counts, settings, versions, checksums; same bytes each time
    ``timing.json``   Seconds, and what they depend on
    ``images.csv``    One row per image and attack
    ``arrays.npz``    A few attacked images with what figures need of them
    ``units.csv``     One row per unit and layer, where units were dissected
    ``masking.csv``   One row per order and number of masked units, where units were masked
    ``figures/``      Figures as PNG and SVG
    ``shards/``       What is finished, while the evaluation runs or where it was stopped
    ================= =======================================================================================

    Each batch is written once it is done, whole or not at all: an evaluation that is killed and started again goes on
    with the next batch, and its files are those of one that was not (``timing.json`` apart). Nothing of a batch but its
    shard, and a few sums, stays in memory.

    Args:
        folder: Where to write.
        run: Name of the run.
        name: Name of the evaluation.
        checkpoint: Name of the weights' file.
        settings: Every setting, as plain values.
        examples: Number of attacked images whose arrays are kept, per attack.
        max_minutes: Take no further batch after so many minutes, and write what there is; the next run goes on.

    Raises:
        ValueError: If ``max_minutes`` is not positive.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        name: str,
        checkpoint: str,
        settings: dict[str, Any],
        examples: int = 6,
        max_minutes: float | None = None,
    ) -> None:
        if max_minutes is not None and not max_minutes > 0:
            raise ValueError(f"max_minutes must be positive, got {max_minutes}")
        self.folder = folder
        self.named = {"run": run, "name": name, "checkpoint": checkpoint}
        self.settings = settings
        self.examples = examples
        self.max_minutes = max_minutes
        self.shards = Shards(folder)
        self.kept: dict[str, int] = {}
        self.planned: tuple[Tensor, ...] = ()
        self.images = 0
        self.sessions = 1
        self.seconds = 0.0
        self.started = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out what is done already, before a loader is made.

        Raises:
            ValueError: If the datamodule cannot say which images a test takes.
        """
        if stage != "test":
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        check_evaluable(data)
        self.shards = Shards(self.folder, trainer.global_rank, trainer.world_size)
        if trainer.is_global_zero:
            identity = evaluation_identity(trainer, pl_module.network, self.settings)  # type: ignore[arg-type]
            differing = self.shards.claim(identity)
            if differing:
                print(
                    f"{self.folder} was begun with other {', '.join(differing)}: starting over "
                    f"(what was done is set aside in {self.folder / ASIDE})",
                    flush=True,
                )
        trainer.strategy.barrier("shards")
        self.planned = data.tested_batches()
        done = 0
        for number in range(min(self.shards.count(), len(self.planned))):
            if not torch.equal(self.shards.read(number)["planned"], self.planned[number]):
                break  # of an evaluation of more or fewer images, whose last batch was another one
            done = number + 1
        unused = self.shards.set_aside_from(done)
        if unused:
            print(f"{unused} batches of another number of images are set aside in {self.folder / ASIDE}.", flush=True)
        data.done_batches, data.stopped = done, False
        if done and trainer.is_global_zero:
            print(f"Going on after {done} of {len(self.planned)} batches, which are done.", flush=True)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and the count of passes: the module may have been trained or tested before."""
        pl_module.still.forwards = pl_module.still.backwards = 0  # type: ignore[union-attr]
        self.kept, self.images, self.sessions, self.seconds = {}, 0, 1, 0.0
        self.started = time.perf_counter()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the sums of what is done; the monitors have started over by now."""
        done = trainer.datamodule.done_batches  # type: ignore[attr-defined]
        if not done:
            return
        state = self.shards.read(done - 1)["state"]
        for metric, sums in zip((pl_module.accuracies["test"], pl_module.costs["test"]), state["module"], strict=True):  # type: ignore[index]
            metric.restore(sums)  # type: ignore[union-attr]
        for monitor, sums in zip(monitors_of(trainer), state["monitors"], strict=True):
            monitor.restore(sums)
        pl_module.still.forwards, pl_module.still.backwards = state["passes"]  # type: ignore[union-attr]
        self.kept, self.images = dict(state["kept"]), state["images"]
        self.sessions, self.seconds = state["sessions"] + 1, state["seconds"]

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write what a batch gave; one that was done before comes empty."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if batch_idx < data.done_batches:
            return
        self.images += len(batch.indices)
        planned, there = self.planned[batch_idx], set(batch.indices.tolist())
        monitors = monitors_of(trainer)
        content = {
            "planned": planned,
            "broken": {index: data.broken.get(index, "") for index in planned.tolist() if index not in there},
            "rows": [{name: fates(result, batch.labels) for name, result in outputs.items()}]
            + [merged_batches(monitor.rows) for monitor in monitors],
            "arrays": [self.few(outputs)] + [named(monitor) for monitor in monitors],
            "shared": {f"{each.measure}/{name}": array for each in monitors for name, array in each.shared.items()},
            "state": self.state(pl_module, monitors),
        }
        self.shards.write(batch_idx, content)
        for monitor in monitors:
            monitor.rows, monitor.arrays = {}, {}
        if self.max_minutes is not None and time.perf_counter() - self.started > 60 * self.max_minutes:
            data.stopped = True

    def state(self, pl_module: LightningModule, monitors: Sequence[Monitor]) -> dict[str, Any]:
        """Return all that has been added up so far."""
        still = pl_module.still
        return {
            "module": [pl_module.accuracies["test"].state(), pl_module.costs["test"].state()],  # type: ignore[index, union-attr, operator]
            "monitors": [monitor.state() for monitor in monitors],
            "passes": [still.forwards, still.backwards],  # type: ignore[union-attr]
            "kept": dict(self.kept),
            "images": self.images,
            "sessions": self.sessions,
            "seconds": self.seconds + time.perf_counter() - self.started,
        }

    def few(self, outputs: dict[str, AttackedBatch]) -> Columns:
        """Return the first attacked images of each attack, as long as examples are wanted."""
        arrays = {}
        for attack, result in outputs.items():
            chosen = result.attacked.nonzero().flatten()[: max(0, self.examples - self.kept.get(attack, 0))]
            self.kept[attack] = self.kept.get(attack, 0) + len(chosen)
            names = ("images", "adversarials", "indices", "labels", "targets")
            arrays[attack] = {name: getattr(result, name)[chosen].cpu() for name in names}
        return arrays

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything; the other processes hand over what they have."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        shards = list(self.shards.contents())
        part = {
            "rows": [merged(each) for each in zip(*(shard["rows"] for shard in shards), strict=True)],
            "arrays": [merged(each) for each in zip(*(shard["arrays"] for shard in shards), strict=True)],
            "shared": {name: array for shard in shards for name, array in shard["shared"].items()},
            "state": self.state(pl_module, []),
            "broken": {index: reason for shard in shards for index, reason in shard["broken"].items()},
            "complete": len(shards) == len(self.planned) or not data.stopped,
        }
        del shards
        parts = gathered(part)
        if trainer.is_global_zero:
            write_evaluation(self.folder, self.named, self.settings, self.examples, trainer, pl_module, parts)
        trainer.strategy.barrier("written")
        # Where time was up, the next run goes on with the shards.
        if all(each["complete"] for each in parts):
            self.shards.clear()


def check_evaluable(data: object) -> None:
    """Refuse a datamodule that does not say which images a test takes, and cannot pass over those that are done.

    Raises:
        ValueError: If something that :class:`datamodules.ImageDataModule` has is missing; names it.
    """
    needed = ("checksum", "class_names", "split_indices", "tested_batches", "source", "broken")
    missing = [name for name in needed if not hasattr(data, name)]
    if missing:
        given = "no datamodule" if data is None else f"{type(data).__name__} without {', '.join(missing)}"
        raise ValueError(
            f"an evaluation needs a datamodule that says which images it takes, got {given}: derive yours from "
            "datamodules.ImageDataModule, or from InMemoryDataModule for images in memory"
        )


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


def merged_batches(batches: dict[str, list[dict[str, Tensor]]]) -> Columns:
    """Return each attack's columns over the batches of a monitor."""
    return {
        attack: {name: torch.cat([batch[name] for batch in found]) for name in found[0]}
        for attack, found in batches.items()
        if found
    }


def named(monitor: Monitor) -> Columns:
    """Return a monitor's example arrays under names that begin with its measure."""
    return {
        attack: {name if name == "indices" else f"{monitor.measure}/{name}": array for name, array in arrays.items()}
        for attack, arrays in merged_batches(monitor.arrays).items()
    }
