"""The progress bar of an evaluation: images, time left, and passes through the network."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from tqdm import tqdm


class EvaluationProgress(ProgressBar):
    """Shows how many images are evaluated, the time left, and how many passes were made of those to be expected.

    What attacks take is known only when they have run: the number expected is that of the passes so far, per image,
    for all images. What an evaluation that was stopped has done counts as done, and not towards the speed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None
        self._enabled = True

    def disable(self) -> None:
        """Show nothing; Lightning asks for it in all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar again."""
        self._enabled = True

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin; the record has taken up what is done."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        batches = data.tested_batches()
        done = sum(len(batch) for batch in batches[: data.done_batches])
        self._bar = tqdm(
            total=sum(len(batch) for batch in batches),
            initial=done,
            desc="Evaluating",
            unit="image",
            disable=not self._enabled,
            # Images take seconds to minutes: the mean speed says more than the last one.
            smoothing=0.1,
            dynamic_ncols=True,
        )

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Move on by a batch."""
        data, still = trainer.datamodule, pl_module.still  # type: ignore[attr-defined]
        if self._bar is None or batch_idx < data.done_batches:
            return
        self._bar.update(len(data.tested_batches()[batch_idx]))
        passes = still.forwards + still.backwards  # type: ignore[operator]
        expected = round(passes * (self._bar.total or 0) / max(1, self._bar.n))
        self._bar.set_postfix_str(f"{passes:,} of about {expected:,} passes")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
