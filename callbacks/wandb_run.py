"""The W&B side of a run: online where the user is logged in, offline otherwise, and never needed for a result."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

Mode = Literal["auto", "online", "offline", "off"]


def resolved(mode: Mode) -> Literal["online", "offline", "off"]:
    """Return what ``auto`` stands for: the environment's ``WANDB_MODE``, else online if logged in, else offline."""
    if mode != "auto":
        return mode
    environment = os.environ.get("WANDB_MODE", "")
    if environment in ("online", "offline"):
        return "online" if environment == "online" else "offline"
    if environment in ("disabled", "dryrun"):
        return "off" if environment == "disabled" else "offline"
    import wandb

    # Asks neither the user nor, without a key, the network.
    logging.getLogger("wandb").setLevel(logging.ERROR)
    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except Exception as error:  # a key that the server refuses or no network: the run goes on offline
        logging.getLogger(__name__).warning("W&B is not reachable (%s): logging offline", error)
        return "offline"


def wandb_logger(
    mode: Mode,
    *,
    project: str,
    name: str,
    folder: Path,
    job_type: Literal["train", "evaluate", "compare"],
    group: str,
    tags: Sequence[str] = (),
    config: dict[str, Any] | None = None,
    identity: str | None = None,
) -> "WandbLogger | None":
    """Return the logger of a run, ``None`` if it is switched off.

    Args:
        mode: See :func:`resolved`.
        project: W&B project.
        name: Name of the run.
        folder: Where the run's files go (``folder/wandb``).
        job_type: ``train``, ``evaluate`` or ``compare``.
        group: The training to which the run belongs.
        tags: Data set, objective, network.
        config: Every setting.
        identity: W&B id of the run that is continued; ``None`` for a new one.
    """
    wanted = resolved(mode)
    if wanted == "off":
        return None
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)
    return WandbLogger(
        project=project,
        name=name,
        save_dir=folder,
        # Not the logger's own `offline`, which sets an environment variable that wandb has read already.
        mode=wanted,
        id=identity,
        resume="allow" if identity else None,
        job_type=job_type,
        group=group,
        tags=list(tags),
        config=config,
        settings=wandb.Settings(quiet=True),
    )


class WandbAxes(Callback):
    """Sets every validation figure against the epoch on W&B, where Lightning's logger sets all against the step.

    Each figure by its own name: which of two patterns that fit a name counts, W&B does not say.
    """

    def __init__(self) -> None:
        self._defined: set[str] = set()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Define the figures that are new; as a rule those of the first epoch."""
        new = {name for name in trainer.callback_metrics if name.startswith("val/")} - self._defined
        for logger in trainer.loggers:
            if new and type(logger).__name__ == "WandbLogger" and trainer.is_global_zero:
                for name in ["epoch", *sorted(new)]:
                    logger.experiment.define_metric(name, step_metric=None if name == "epoch" else "epoch")  # type: ignore[attr-defined]
        self._defined |= new


def finish_wandb(trainer: Trainer) -> None:
    """End a trainer's W&B run, so that all is on disk and the next job in this process begins one of its own."""
    for logger in trainer.loggers:
        if type(logger).__name__ == "WandbLogger" and trainer.is_global_zero:
            logger.experiment.finish()  # type: ignore[attr-defined]
