"""Stops a training that stays at chance."""

from pytorch_lightning import Callback, LightningModule, Trainer


class TrainingCollapsedError(RuntimeError):
    """A training stayed at chance; the message says what to change."""


class CollapseGuard(Callback):
    """Stops a run whose clean validation accuracy stays near chance after the warm-up of eps.

    Off under ``fast_dev_run``, and where an epoch has under 50 steps.

    Args:
        patience: Stop after so many validations in a row at chance; 0 never stops.
        factor: An accuracy under ``factor`` times chance counts as chance.

    Raises:
        ValueError: If ``patience`` is negative, or ``factor`` under 1.
        TrainingCollapsedError: At the end of an epoch, if the training has collapsed.
    """

    def __init__(self, patience: int = 2, factor: float = 1.5) -> None:
        if patience < 0:
            raise ValueError(f"patience must not be negative, got {patience}")
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        self.patience = patience
        self.factor = factor
        self.epochs_at_chance = 0
        self._validated = False

    def state_dict(self) -> dict[str, int]:
        """Return how long the run has been at chance."""
        return {"epochs_at_chance": self.epochs_at_chance}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting where a stopped run left off."""
        self.epochs_at_chance = state_dict["epochs_at_chance"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has figures of its own: Lightning keeps those of the last validation."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, and stop."""
        validated, self._validated = self._validated, False
        if not validated:
            return
        accuracy = trainer.callback_metrics.get("val/clean/accuracy")
        warmup = float(getattr(pl_module, "eps_warmup_epochs", 0.0))
        small = trainer.num_training_batches < 50
        if not self.patience or trainer.fast_dev_run or small or accuracy is None or trainer.current_epoch < warmup:
            return
        chance = 1 / int(trainer.datamodule.num_classes)  # type: ignore[attr-defined]
        # Accuracies are float32: one at the limit is not under it.
        at_chance = float(accuracy) < self.factor * chance - 1e-6
        self.epochs_at_chance = self.epochs_at_chance + 1 if at_chance else 0
        if self.epochs_at_chance >= self.patience:
            raise TrainingCollapsedError(
                f"clean validation accuracy {float(accuracy):.3f} has stayed under {self.factor:g} times chance "
                f"({chance:.3f}) for {self.patience} validations after the warm-up: lower the learning rate, or raise "
                "model.init_args.eps_warmup_epochs, and name another folder by --run (collapse_guard.patience=0 "
                "switches this stop off)"
            )
