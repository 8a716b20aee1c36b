"""The command line of ``train.py`` and ``evaluate.py``: the one place that knows LightningCLI."""

import argparse
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import pytorch_lightning
import yaml
from jsonargparse import get_loader, set_loader
from pytorch_lightning import LightningDataModule
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from advscope.networks import load_weights
from advscope.precision import automatic_precision
from callbacks import (
    CollapseGuard,
    EvaluationRecord,
    Monitor,
    RunRecord,
    TrainingCollapsedError,
    WandbAxes,
    finish_wandb,
    wandb_logger,
)
from lightning_modules import Classifier

PROJECT = "advscope"
FRACTION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*")


def with_fractions(value: Any) -> Any:
    """Return loaded YAML with every ``8/255`` as the number that it stands for."""
    if isinstance(value, dict):
        return {key: with_fractions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_fractions(item) for item in value]
    # One over 0 stays text: the setting's own type then refuses it by name.
    if isinstance(value, str) and (match := FRACTION.fullmatch(value)) and float(match[2]):
        return float(match[1]) / float(match[2])
    return value


class Trainer(pytorch_lightning.Trainer):
    """Lightning's trainer with advscope's defaults.

    Args:
        *args: As for Lightning's trainer.
        accelerator: As for Lightning's trainer.
        precision: ``auto`` trains in bfloat16 where the device has the instructions, else in float32; or any of
            Lightning's. Validation and test run in float32 always.
        num_sanity_val_steps: Validation steps before training; none, since they cost attacks.
        use_distributed_sampler: Stays off: the datamodules share their data out themselves, without repeats.
        enable_model_summary: Off: the run's first line says what is trained.
        limit_train_batches: Train on so many batches of each epoch, or on that share of them (a number with a point).
        limit_val_batches: Likewise in validation.
        limit_test_batches: Likewise in an evaluation.
        **kwargs: As for Lightning's trainer.
    """

    def __init__(
        self,
        *args: Any,
        accelerator: str = "auto",
        precision: str | int | None = "auto",
        num_sanity_val_steps: int | None = 0,
        use_distributed_sampler: bool = False,
        enable_model_summary: bool | None = False,
        # Lightning's own annotation is Optional[Union[int, float]], and typing hands out whichever order of the two was
        # made first in the process: with float first, 1 would be read as 1.0, all batches.
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        **kwargs: Any,
    ) -> None:
        if precision == "auto":
            import torch

            on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
            precision = automatic_precision("cuda" if on_gpu else "cpu")
        super().__init__(
            *args,
            accelerator=accelerator,
            precision=precision,  # type: ignore[arg-type]
            num_sanity_val_steps=num_sanity_val_steps,
            use_distributed_sampler=use_distributed_sampler,
            enable_model_summary=enable_model_summary,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            **kwargs,
        )


class CLI(LightningCLI):
    """Builds ``model``, ``datamodule`` and ``trainer`` from configs and the command line; runs nothing.

    Args:
        args: Arguments to parse.
    """

    job: Literal["train", "evaluate"]
    run: Path
    """Folder of the run."""

    def __init__(self, args: list[str]) -> None:
        load = get_loader("yaml")
        set_loader("yaml", lambda stream: with_fractions(load(stream)), exceptions=(yaml.YAMLError,))
        super().__init__(
            Classifier,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            trainer_class=Trainer,
            seed_everything_default=0,
            parser_kwargs={"description": sys.modules["__main__"].__doc__, "prog": f"{self.job}.py"},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            # With subcommands, LightningCLI lets a checkpoint's hyperparameters override the command line.
            run=False,
            args=args,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the arguments that a training and an evaluation share."""
        parser.add_argument("--run", type=str | None, default=None, help="Folder of the run.")
        parser.add_argument("--weights", type=str | None, default=None, help="Weights to start from, of any origin.")
        parser.add_argument(
            "--wandb",
            type=Literal["auto", "online", "offline", "off"],
            default="auto",
            help="W&B: auto is online where you are logged in, else offline.",
        )

    def plain_config(self) -> dict[str, Any]:
        """Return every setting as plain values, without what names this run alone."""
        dumped = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return {key: value for key, value in dumped.items() if key not in ("config", "run", "wandb", "resume")}

    def check_monitors(self, callbacks: list[Callback]) -> None:
        """Refuse two monitors of one kind: their figures would bear the same names."""
        kinds = [type(callback).__name__ for callback in callbacks if isinstance(callback, Monitor)]
        twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise ValueError(f"two monitors of one kind in trainer.callbacks ({', '.join(twice)}): keep one of them")

    def record_callbacks(self) -> list[Callback]:
        """Return the callbacks that keep what this job computes."""
        raise NotImplementedError

    def instantiate_trainer(self, **kwargs: Any) -> pytorch_lightning.Trainer:
        """Build the trainer with the loggers and records of this job."""
        config = dict(self._get(self.config_init, "trainer", default={}))
        callbacks = list(config.pop("callbacks") or [])
        self.check_monitors(callbacks)
        if self.config.weights:
            load_weights(self.model.network, self.config.weights)
        guards = [self._get(self.config_init, key) for key in self.parser.callback_keys]
        records = [] if config["fast_dev_run"] else self.record_callbacks()
        logger = False if config["fast_dev_run"] else self.logger()
        config |= {"callbacks": callbacks + records + guards, "logger": logger or False, "default_root_dir": self.run}
        if not any(isinstance(callback, ModelCheckpoint) for callback in config["callbacks"]):
            config["enable_checkpointing"] = False
        return self.trainer_class(**config | kwargs)

    def logger(self) -> Any:
        """Return the W&B logger, ``None`` if it is off."""
        named = (self.datamodule, self.model, self.model.network)
        suffix = "" if self.job == "train" else f"/{self.folder.name}"
        return wandb_logger(
            self.config.wandb,
            project=PROJECT,
            name=self.run.name + suffix,
            folder=self.folder,
            job_type=self.job,
            group=self.run.name,
            tags=[type(thing).__name__ for thing in named],
            config=self.plain_config(),
            identity=self.wandb_identity(),
        )

    @property
    def folder(self) -> Path:
        """Where this job writes."""
        return self.run

    def wandb_identity(self) -> str | None:
        """Return the id of the W&B run that is continued; ``None`` for a new one."""
        return None


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


class EvaluateCLI(CLI):
    """The command line of an evaluation: the run's own config, and overlays laid over it."""

    job = "evaluate"

    def __init__(self, args: list[str] | None = None) -> None:
        parser = argparse.ArgumentParser(
            prog="evaluate.py",
            description="Evaluate a run: attack its test images and explain the adversarial examples.",
            epilog="Any setting of the run can follow, as in train.py --help: --data.init_args.test=500.",
        )
        parser.add_argument("--run", type=Path, help="folder of the run: holds config.yaml, gets results/NAME")
        parser.add_argument("--config", action="append", default=[], type=Path, metavar="FILE",
                            help="overlay laid over the run's config; several follow each other "
                            "(default: configs/evaluation/standard.yaml)")  # fmt: skip
        parser.add_argument("--checkpoint", default="last", help="last, best_clean or best_robust (default: last)")
        parser.add_argument("--weights", type=Path, help="network trained elsewhere: --config then names its config")
        parser.add_argument("--name", help="name of the evaluation (default: that of the last overlay, "
                            "with -CHECKPOINT where it is not the last)")  # fmt: skip
        own, rest = parser.parse_known_args(args)
        base, overlays = self.base_config(own, parser)
        if any(word.split("=")[0] == "--trainer.precision" for word in rest):
            parser.error("evaluations run in float32, so that they can be compared: leave --trainer.precision out")
        kept = "" if own.weights or own.checkpoint == "last" else f"-{own.checkpoint}"
        self.evaluation = own.name or f"{overlays[-1].stem}{kept}"
        self.checkpoint = str(own.weights.name) if own.weights else f"{own.checkpoint}.ckpt"
        for overlay in overlays:
            base = laid_over(base, read_yaml(overlay))
        base.setdefault("trainer", {})["precision"] = "32-true"
        self.weights_file = own.weights or self.run / "checkpoints" / self.checkpoint
        if not self.weights_file.exists():
            there = sorted(path.stem for path in (self.run / "checkpoints").glob("*.ckpt"))
            raise FileNotFoundError(f"no weights at {self.weights_file}; --checkpoint can be {', '.join(there) or '-'}")
        with tempfile.TemporaryDirectory() as folder:
            merged = Path(folder) / "merged.yaml"
            merged.write_text(yaml.safe_dump(base, sort_keys=False))
            super().__init__(["--config", str(merged), "--weights", str(self.weights_file), *rest])

    def base_config(
        self, own: argparse.Namespace, parser: argparse.ArgumentParser
    ) -> tuple[dict[str, Any], list[Path]]:
        """Return the config to start from, without its callbacks and logger, and the overlays."""
        standard = [Path(__file__).parent / "configs" / "evaluation" / "standard.yaml"]
        if own.weights is not None:
            if not own.config:
                parser.error("--weights needs --config FILE, the config that builds its network")
            base, overlays = read_yaml(own.config[0]), own.config[1:] or standard
            self.run = own.run or Path("runs") / f"{own.config[0].stem}-{own.weights.stem}"
        else:
            if own.run is None:
                parser.error("name a run (--run RUN), or a config and weights (--config FILE --weights FILE)")
            if not (own.run / "config.yaml").exists():
                raise FileNotFoundError(f"{own.run} has no config.yaml: name the folder that train.py --run wrote")
            base, overlays = read_yaml(own.run / "config.yaml"), own.config or standard
            self.run = own.run
        trainer = base.setdefault("trainer", {})
        for key in ("callbacks", "callbacks+", "logger", "precision"):
            trainer.pop(key, None)
        base.pop("collapse_guard", None)
        base.pop("weights", None)
        return base, overlays

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return self.run / "results" / self.evaluation

    def record_callbacks(self) -> list[Callback]:
        """Return the record of the evaluation."""
        settings = {key: value for key, value in self.plain_config().items() if key != "weights"}
        return [EvaluationRecord(self.folder, self.run.name, self.evaluation, self.checkpoint, settings)]

    def test(self) -> None:
        """Evaluate."""
        try:
            self.trainer.test(self.model, self.datamodule, verbose=False)
        finally:
            finish_wandb(self.trainer)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file's mapping."""
    if not path.exists():
        raise FileNotFoundError(f"there is no config {path}")
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping (model:, data:, trainer:), got {type(content).__name__}")
    return content


def laid_over(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with an overlay on it: mappings merge, all else is replaced, ``attacks`` as a whole.

    A key that ends in ``+`` appends to a list. Another ``class_path`` drops the settings of the old one.
    """
    merged = dict(base)
    if "class_path" in overlay and overlay["class_path"] != base.get("class_path"):
        merged.pop("init_args", None)
        merged.pop("dict_kwargs", None)
    for key, value in overlay.items():
        if key.endswith("+"):
            merged[key[:-1]] = list(merged.get(key[:-1]) or []) + list(value)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "attacks":
            merged[key] = laid_over(merged[key], value)
        else:
            merged[key] = value
    return merged


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End with one line instead of a traceback where the user can mend it; ``ADVSCOPE_TRACEBACK=1`` shows all."""
    expected = (ValueError, OSError, TrainingCollapsedError, jsonargparse.ArgumentError)
    with warnings.catch_warnings():
        quieten()
        try:
            yield
        except expected as error:
            if os.environ.get("ADVSCOPE_TRACEBACK"):
                raise
            raise SystemExit(f"error: {' '.join(str(error).split())}") from None


def quieten() -> None:
    """Ignore warnings that a user can do nothing about; each with its reason."""
    # Lightning's tips on devices and products of its maker; warnings still come through.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    # Our loaders keep decoded images in memory: workers would only copy them.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Short epochs are legitimate in demos and tests; metrics are logged per epoch as well.
    warnings.filterwarnings("ignore", message=".*The number of training batches.*smaller than the logging interval.*")
    # torchmetrics' Metrics sync themselves before compute().
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    # The words of the command line are passed on as they are, or merged into a config: nothing is given twice.
    warnings.filterwarnings("ignore", message=".*args parameter is intended to run from within Python.*")
    # A run that is resumed goes on in its own folder.
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    # pytorch-lightning 2.6.6 uses a name that torch 2.15 deprecates.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # jsonargparse 4.5x announces what 5.0 removes, which pytorch-lightning 2.6.6 still uses; hence the upper cap.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="jsonargparse.*")
