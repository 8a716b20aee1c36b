"""The command line of ``train.py``."""

from pathlib import Path

import yaml
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser

from callbacks import CollapseGuard, RunRecord, WandbAxes, finish_wandb
from cli.base import CLI


class TrainCLI(CLI):
    """The command line of a training."""

    job = "train"

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what a training alone takes."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--resume", type=bool, default=False, help="Continue the run from its last checkpoint.")
        parser.add_lightning_class_args(CollapseGuard, "collapse_guard")

    def before_instantiate_classes(self) -> None:
        """Settle the run's folder before anything is built."""
        configs = [str(path) for path in self.config.config or []]
        name = Path(configs[0]).stem if configs else "run"
        self.run = Path(self.config.run or Path("runs") / name)
        self.last = self.run / "checkpoints" / "last.ckpt"
        if self.config.resume and not self.last.exists():
            raise FileNotFoundError(f"--resume: {self.run} has no checkpoints/last.ckpt; leave --resume out to start")
        if not self.config.resume and self.last.exists() and not self.config.trainer.fast_dev_run:
            raise FileExistsError(f"{self.run} holds a training already: --resume it, or name another folder by --run")

    def record_callbacks(self) -> list[Callback]:
        """Return the checkpoints and the record of the run."""
        folder = self.run / "checkpoints"

        def keep(filename: str, monitor: str | None) -> ModelCheckpoint:
            return ModelCheckpoint(
                folder, filename, monitor, mode="max", save_on_train_epoch_end=True, enable_version_counter=False
            )

        checkpoints: list[Callback] = [keep("best_clean", "val/clean/accuracy")]
        if self.model.attacks:
            checkpoints.append(keep("best_robust", "val/all/robust_accuracy"))
        # At the end: it holds what the others know of this epoch, so that a resumed run keeps the best one.
        checkpoints.append(keep("last", None))
        return [RunRecord(self.run, self.run.name, self.plain_config()), WandbAxes(), *checkpoints]

    def wandb_identity(self) -> str | None:
        """Return the id of the run that is resumed."""
        if not self.config.resume:
            return None
        record = yaml.safe_load((self.run / "run.json").read_text())
        return (record["wandb"] or {}).get("id")

    def fit(self) -> None:
        """Train."""
        resumed = str(self.last) if self.config.resume else None
        try:
            self.trainer.fit(self.model, self.datamodule, ckpt_path=resumed, weights_only=True)
        finally:
            finish_wandb(self.trainer)
