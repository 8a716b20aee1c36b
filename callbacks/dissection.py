"""Network dissection of units, and their sensitivity to an attack, during training and after it."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from torch.nn.functional import interpolate

from advscope.attacks import PGD, Attack
from advscope.batch import Batch
from advscope.layers import find_layer
from advscope.measures import DissectionSettings, dissect
from advscope.precision import full_precision
from callbacks.monitor import Monitor


class DissectionMonitor(Monitor):
    """Finds which concept each unit detects, and how many of its pixels an attack flips.

    The one monitor that attacks by itself: training data carry no concepts, and the units' thresholds must be known
    before anything is tallied. At the end of a validation or test epoch it makes three passes over its own concept
    images, two clean ones for the thresholds and one for the tally, shared out among the processes. Logs
    ``{stage}/{attack}/dissection/{layer}/{quantity}``, where ``{attack}`` is the lower-case name of its attack's class;
    a test keeps a table with one row per unit. See :func:`~advscope.measures.dissect`.

    Args:
        data: Datamodule whose test split carries concepts: ``datamodules.Broden``, or ``datamodules.ConceptShapes``.
        attack: Attack on the concept images, from the network's own prediction where they have no class, or where their
            datamodule has other classes than the run's; null for PGD with eps 4/255, step 1/255, 10 steps.
        layers: Names of submodules; null for every block.
        quantile: Share of its positions on which a unit counts as active: 0.05 in the paper, 0.005 in NetDissect.
        strict: A unit is active above its threshold; false also at it, which is the paper's letter.
        union: Union of IoU: over ``all`` images (the paper's equation 7), or only over those with a label of the
            concept's ``category`` (NetDissect).
        draws: Random sets of units behind each p-value.
        every_n_epochs: Look after every so many epochs; a test is always looked at.
        max_images: Take the first so many concept images alone; null for all.

    Raises:
        ValueError: If a setting is out of range, ``data`` carries no concepts, or there is another one of its kind.
    """

    measure = "dissection"

    def __init__(
        self,
        data: LightningDataModule,
        attack: Attack | None = None,
        layers: Sequence[str] | None = None,
        quantile: float = 0.05,
        strict: bool = True,
        union: Literal["all", "category"] = "all",
        draws: int = 10_000,
        every_n_epochs: int = 1,
        max_images: int | None = None,
    ) -> None:
        super().__init__(every_n_epochs, max_images)
        self.data: Any = data
        self.attack = attack or PGD(eps=4 / 255, step_size=1 / 255, steps=10)
        self.layers = None if layers is None else list(layers)
        self.settings = DissectionSettings(quantile, strict, union, draws)
        self.image_size: tuple[int, int] = (0, 0)
        self.same_classes = False

    @property
    def attack_name(self) -> str:
        """Name of the attack in log keys."""
        return type(self.attack).__name__.lower()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read the concept data and look for the layers, so that what is wrong is said before the first step."""
        super().setup(trainer, pl_module, stage)
        name = type(self.data).__name__
        if not getattr(self.data, "concepts", ()):
            raise ValueError(
                f"DissectionMonitor: {name} carries no concepts; use datamodules.Broden or datamodules.ConceptShapes"
            )
        self.data.trainer = trainer
        # The first process renders or decodes what is not cached yet.
        if trainer.is_global_zero:
            self.data.setup("test")
        trainer.strategy.barrier("concepts")
        self.data.setup("test")
        available = len(self.data.split_indices("test"))
        if self.max_images is not None and self.max_images > available:
            raise ValueError(
                f"DissectionMonitor: max_images={self.max_images} exceeds the {available} images of {name}; lower it, "
                "or leave it out for all of them"
            )
        for layer in self.layers or ():
            find_layer(pl_module.network, layer)  # type: ignore[arg-type]
        self.image_size = trainer.datamodule.image_size  # type: ignore[attr-defined]
        # Class 3 of other data is another thing to the network than its own class 3.
        self.same_classes = tuple(self.data.class_names) == tuple(trainer.datamodule.class_names)  # type: ignore[attr-defined]

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last epoch, also where this one is not looked at."""
        self.forget()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Dissect, if this epoch is looked at."""
        if self.looks(trainer):
            self.dissect(pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Dissect."""
        self.forget()
        self.dissect(pl_module, "test")

    def dissect(self, pl_module: LightningModule, stage: str) -> None:
        """Make the passes, and log what they found."""
        with full_precision(pl_module.device.type):
            layers = dissect(
                pl_module.still, ConceptImages(self), self.data.concepts, self.layers, self.attack, self.settings
            )
        for layer, found in layers.items():
            for quantity, estimate in found.figures.items():
                self.record(pl_module, f"{stage}/{self.attack_name}/{self.measure}/{layer}/{quantity}", estimate)
            self.units += found.rows(layer)
        self.counts = {f"{self.attack_name}/{self.measure}": dict(found.counts) for found in layers.values()}


class ConceptImages:
    """A monitor's concept images, at the size that the network is given, as often as they are iterated over.

    Args:
        monitor: Whose images they are.
    """

    def __init__(self, monitor: DissectionMonitor) -> None:
        self.monitor = monitor

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's share, batch by batch."""
        data, size = self.monitor.data, self.monitor.image_size
        wanted = data.split_indices("test")[: self.monitor.max_images]
        for whole in data.loader("test", training=False):
            chosen = torch.isin(whole.indices, wanted)
            if not chosen.any():  # the images come in the split's order: none of those that follow is wanted
                return
            batch = whole.part(chosen)
            images = batch.images.float()
            if images.shape[-2:] != size:
                images = interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)
            labels = batch.labels if self.monitor.same_classes else torch.full_like(batch.labels, -1)
            yield batch._replace(images=images, labels=labels)
