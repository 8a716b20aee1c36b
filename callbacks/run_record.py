"""What a training leaves behind beside its checkpoints: config.yaml, run.json and metrics.jsonl."""

import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

import advscope
from callbacks.monitor import Monitor


class RunRecord(Callback):
    """Writes the full config, what ran it, and the figures of every epoch into the folder of the run.

    ================= ======================================================================
    File              Content
    ================= ======================================================================
    ``config.yaml``   Every setting with its value; ``evaluate.py`` starts from it
    ``run.json``      Name, objective, network, data, versions, precision, W&B run
    ``metrics.jsonl`` One line an epoch: epoch, step and every logged figure
    ================= ======================================================================

    Args:
        folder: Folder of the run.
        name: Name of the run.
        config: Every setting, as plain values.
    """

    def __init__(self, folder: Path, name: str, config: dict[str, Any]) -> None:
        self.folder = folder
        self.name = name
        self.config = config
        self.started = 0.0
        self._validated = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is known before the first step."""
        if not trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        parameters = sum(parameter.numel() for parameter in pl_module.network.parameters())  # type: ignore[union-attr]
        print(
            f"{self.folder}: {type(pl_module).__name__}, {type(pl_module.network).__name__} "
            f"({parameters:,} parameters), {trainer.precision} on {pl_module.device}",
            flush=True,
        )
        record = {
            "name": self.name,
            "objective": type(pl_module).__name__,
            "network": type(pl_module.network).__name__,
            "data": type(trainer.datamodule).__name__,  # type: ignore[attr-defined]
            "precision": trainer.precision,
            "devices": trainer.num_devices * trainer.num_nodes,
            "versions": versions(),
            "wandb": wandb_identity(trainer),
        }
        path = self.folder / "run.json"
        if record["wandb"] is None and path.exists():  # resumed without W&B: the run there can still be gone on with
            record["wandb"] = json.loads(path.read_text()).get("wandb")
        path.write_text(json.dumps(record, indent=1) + "\n")
        self.started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the epoch has validation figures of its own."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append the figures of the epoch."""
        validated, self._validated = self._validated, False
        if not trainer.is_global_zero:
            return
        # Lightning keeps figures until they are logged again: those of an earlier epoch are left out.
        monitors = [callback for callback in trainer.callbacks if isinstance(callback, Monitor)]  # type: ignore[attr-defined]
        figures = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if not name.startswith("val/") or (validated and not any(monitor.is_stale(name) for monitor in monitors))
        }
        known = {name: value if math.isfinite(value) else None for name, value in sorted(figures.items())}
        line = json.dumps({"epoch": trainer.current_epoch, "step": trainer.global_step} | known)
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(line + "\n")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the training came to its end, and what it took since it was started or resumed."""
        if trainer.is_global_zero:
            path = self.folder / "run.json"
            taken = {"finished": True, "seconds": round(time.perf_counter() - self.started, 1)}
            path.write_text(json.dumps(json.loads(path.read_text()) | taken, indent=1) + "\n")


def versions() -> dict[str, str]:
    """Return the versions on which results depend."""
    import pytorch_lightning
    import torchmetrics

    return {
        "advscope": advscope.__version__,
        "python": platform.python_version(),
        "pytorch_lightning": pytorch_lightning.__version__,
        "torch": torch.__version__,
        "torchmetrics": torchmetrics.__version__,
    }


def wandb_identity(trainer: Trainer) -> dict[str, str] | None:
    """Return project and id of the W&B run of a trainer; ``None`` without one."""
    for logger in trainer.loggers:
        if type(logger).__name__ == "WandbLogger":
            return {"project": logger.experiment.project, "id": logger.experiment.id}  # type: ignore[attr-defined]
    return None
