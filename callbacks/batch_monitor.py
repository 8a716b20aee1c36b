"""Monitors that measure the batches which the evaluation step attacked."""

from abc import abstractmethod
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.measures import ImageMeans
from advscope.precision import full_precision
from callbacks.example_monitor import ExampleMonitor, rows_of


class BatchMonitor(ExampleMonitor):
    """Measures the batches that the evaluation step attacked, once per attack; attacks nothing itself.

    Works during training (validation, every n epochs) and in evaluation (test). What it measures leaves the training
    bit-identical. Logged is ``{stage}/{attack}/{measure}/{quantity}``, the mean over the attacked images; in a test the
    per-image values and a few examples are kept as well, for the evaluation's records.

    Args:
        every_n_epochs: Look after every so many epochs; a test is always looked at.
        max_images: Look at the first so many images alone, of those of the split that are attacked, or in a test that
            it takes; ``None`` for all.
        examples: Number of attacked images of which a test keeps the arrays for figures.

    Raises:
        ValueError: If a number is not positive, or ``max_images`` exceeds the images that validation attacks.
    """

    def __init__(self, every_n_epochs: int = 1, max_images: int | None = None, examples: int = 6) -> None:
        super().__init__(every_n_epochs, max_images, examples)
        self.metrics: dict[str, ImageMeans] = {}
        self._first: Tensor | None = None

    @abstractmethod
    def metric(self, network: nn.Module) -> ImageMeans:
        """Return the metric of one attack, empty; its quantities are known before any batch."""

    @abstractmethod
    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the quantities of ``N`` attacked images by name, ``(N,)`` each, ``nan`` where undefined."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the settings against those of the module, before time is lost."""
        super().setup(trainer, pl_module, stage)
        if stage not in ("fit", "validate") or self.max_images is None:
            return
        held_out = len(trainer.datamodule.split_indices("val"))  # type: ignore[attr-defined]
        attacked = getattr(pl_module, "validation_attack_images", None)
        available = held_out if attacked is None else min(attacked, held_out)
        if self.max_images > available:
            raise ValueError(
                f"{type(self).__name__}: max_images={self.max_images} exceeds the {available} images that validation "
                f"attacks; lower it, or raise model.init_args.validation_attack_images ({held_out} images are held out)"
            )

    def start(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        """Forget the last epoch, and settle which images count."""
        self.forget()
        # Made before the first batch: every process has every metric, also one that sees no image.
        self.metrics = {attack: self.metric(pl_module.still).to(pl_module.device) for attack in pl_module.attacks}
        self.kept = dict.fromkeys(self.metrics, 0)
        self._first = None
        if self.max_images is not None:
            data = trainer.datamodule  # type: ignore[attr-defined]
            # Of a test of one class alone, the first of that class.
            limited = split == "test" and hasattr(data, "tested_indices")
            self._first = (data.tested_indices() if limited else data.split_indices(split))[: self.max_images]

    def look(self, pl_module: LightningModule, outputs: dict[str, AttackedBatch], *, keep: bool) -> None:
        """Measure what the evaluation step returned; keep rows and examples if asked to."""
        for attack, whole in outputs.items():
            batch = whole
            if self._first is not None:
                batch = rows_of(whole, torch.isin(whole.indices, self._first.to(whole.indices.device)))
            if not len(batch.indices):
                continue
            with full_precision(pl_module.device.type):
                columns = self.columns(attack, batch, pl_module.still)
                self.metrics[attack].update(columns, batch.eligible, batch.attacked)
                if keep:
                    rows = {f"{self.measure}/{name}": values.cpu() for name, values in columns.items()}
                    self.rows.setdefault(attack, []).append({"index": batch.indices.cpu()} | rows)
                    self.keep_examples(attack, batch, pl_module.still)

    def columns(self, attack: str, batch: AttackedBatch, network: nn.Module) -> dict[str, Tensor]:
        """Return the quantities of every image, ``nan`` for those that do not count: they cost nothing."""
        blank = torch.full(batch.indices.shape, torch.nan, dtype=torch.float64, device=batch.indices.device)
        columns = {name: blank.clone() for name in self.metrics[attack].quantities}
        if batch.attacked.any():
            for name, values in self.measure_batch(network, rows_of(batch, batch.attacked)).items():
                columns[name][batch.attacked] = values.double()
        return columns

    def state(self) -> dict[str, Any]:
        """Return the metrics' sums, and how many examples were kept."""
        return {"metrics": {name: metric.state() for name, metric in self.metrics.items()}, "kept": dict(self.kept)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        for name, metric in self.metrics.items():
            metric.restore(state["metrics"][name])
        self.kept = dict(state["kept"])

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the means."""
        for attack, metric in self.metrics.items():
            for quantity, estimate in metric.compute().items():
                self.record(pl_module, f"{stage}/{attack}/{self.measure}/{quantity}", estimate)
            self.counts[attack] = metric.counts()

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start over."""
        self.start(trainer, pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start over."""
        self.start(trainer, pl_module, "test")

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Measure a validation batch."""
        if self.looks(trainer):
            self.look(pl_module, outputs, keep=False)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Measure a test batch."""
        self.look(pl_module, outputs, keep=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log, if this epoch was looked at."""
        if self.looks(trainer):
            self.finish(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log."""
        self.finish(trainer, pl_module, "test")
