"""What all monitors share: when they look, and what they hand to the records."""

from pathlib import Path
from typing import Any, ClassVar

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from advscope.intervals import Estimate


class Monitor(Callback):
    """Looks at a network every n epochs and in every test, and keeps what it finds for the records.

    What it does leaves the training bit-identical. Most monitors measure the batches that the evaluation step attacked
    (:class:`~callbacks.BatchMonitor`).

    Args:
        every_n_epochs: Look after every so many epochs; a test is always looked at.
        max_images: Look at the first so many images alone; ``None`` for all.

    Raises:
        ValueError: If a number is not positive.

    Attributes:
        estimates: Figures of the last epoch that was looked at, by log key.
        counts: For each attack, how many images are eligible, ineligible, attacked and failed.
        rows: For each attack the per-image values of a test since they were last taken, batch by batch, with their
            ``index``.
        arrays: For each attack what figures need of a few images, likewise, with their ``indices``.
        shared: What figures need beside that.
        units: One mapping per unit of a dissected layer.
        tables: Further rows of a test, by the name of their table on W&B.
    """

    measure: ClassVar[str]
    """Name of the measure in log keys."""

    def __init__(self, every_n_epochs: int = 1, max_images: int | None = None) -> None:
        if every_n_epochs < 1:
            raise ValueError(f"every_n_epochs must be at least 1, got {every_n_epochs}")
        if max_images is not None and max_images < 1:
            raise ValueError(f"max_images must be at least 1, or null for all, got {max_images}")
        self.every_n_epochs = every_n_epochs
        self.max_images = max_images
        self.shared: dict[str, Tensor] = {}
        self.forget()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a second monitor of this kind: their figures would bear the same names."""
        kind = type(self)
        if sum(type(callback) is kind for callback in trainer.callbacks) > 1:  # type: ignore[attr-defined]
            raise ValueError(
                f"two monitors of one kind in trainer.callbacks ({kind.__name__}): keep one of them, and evaluate "
                "again under another --name for the other"
            )

    def forget(self) -> None:
        """Forget what the last epoch held."""
        self.estimates: dict[str, Estimate] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.rows: dict[str, list[dict[str, Tensor]]] = {}
        self.arrays: dict[str, list[dict[str, Tensor]]] = {}
        self.units: list[dict[str, Any]] = []
        self.tables: dict[str, list[dict[str, Any]]] = {}

    def state(self) -> dict[str, Any]:
        """Return what a test has added up so far, as tensors and plain values; nothing by default."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` returned, after the test has started over."""

    def write(self, folder: Path) -> None:
        """Write files of its own into the results of a test, in the first process alone; none by default."""

    def looks(self, trainer: Trainer) -> bool:
        """Whether this evaluation epoch is looked at."""
        if trainer.sanity_checking:
            return False
        # A validation outside a training is asked for, and has no epoch.
        asked_for = trainer.testing or trainer.state.fn == TrainerFn.VALIDATING
        return asked_for or (trainer.current_epoch + 1) % self.every_n_epochs == 0

    def is_stale(self, key: str) -> bool:
        """Whether a log key is this monitor's, and not renewed by the last validation."""
        return key.split("/")[2:3] == [self.measure] and key not in self.estimates

    def record(self, pl_module: LightningModule, key: str, estimate: Estimate) -> None:
        """Keep a figure, and log it."""
        self.estimates[key] = estimate
        pl_module.log(key, estimate.value)
