"""What the command lines of a training and of an evaluation share."""

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning
import yaml
from jsonargparse import get_loader, set_loader
from pytorch_lightning import LightningDataModule
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import datamodules  # noqa: F401  (so that --help knows them)
from advscope.networks import load_weights
from callbacks import wandb_logger
from cli.configs import with_fractions, words_with_fractions
from cli.trainer import Trainer
from lightning_modules import Classifier

PROJECT = "advscope"


class CLI(LightningCLI, ABC):
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
            # An abbreviation is refused: it would hide a misspelt setting.
            parser_kwargs={
                "description": sys.modules["__main__"].__doc__,
                "prog": f"{self.job}.py",
                "allow_abbrev": False,
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            # With subcommands, LightningCLI lets a checkpoint's hyperparameters override the command line.
            run=False,
            args=words_with_fractions(args),
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

    @abstractmethod
    def record_callbacks(self) -> list[Callback]:
        """Return the callbacks that keep what this job computes."""

    def instantiate_trainer(self, **kwargs: Any) -> pytorch_lightning.Trainer:
        """Build the trainer with the loggers and records of this job."""
        config = dict(self._get(self.config_init, "trainer", default={}))
        callbacks = list(config.pop("callbacks") or [])
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
