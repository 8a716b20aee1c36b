"""Network dissection of units, and their sensitivity to an attack, during training and after it."""

from collections.abc import Sequence
from typing import Any, Literal

from pytorch_lightning import LightningDataModule, LightningModule, Trainer

from advscope.attacks import PGD, Attack
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
        attack: Attack on the concept images, from the network's own prediction where they have no class; null for PGD
            with eps 4/255, step 1/255, 10 steps.
        layers: Names of submodules; null for every block.
        quantile: Share of its positions on which a unit counts as active: 0.05 in the paper, 0.005 in NetDissect.
        strict: A unit is active above its threshold; false also at it, which is the paper's letter.
        union: Union of IoU: over ``all`` images (the paper's equation 7), or only over those with a label of the
            concept's ``category`` (NetDissect).
        draws: Random sets of units behind each p-value.
        every_n_epochs: Look at every so manyeth validation; a test is always looked at.
        max_images: Take the first so many concept images alone; null for all.

    Raises:
        ValueError: If a setting is out of range, or ``data`` carries no concepts.
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
        self.settings = {"quantile": quantile, "strict": strict, "union": union, "draws": draws}

    @property
    def attack_name(self) -> str:
        """Name of the attack in log keys."""
        return type(self.attack).__name__.lower()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read the concept data's tables, so that what is wrong with them is said before the first step."""
        self.data.trainer = trainer
        if trainer.is_global_zero:
            self.data.prepare_data()
        trainer.strategy.barrier("concepts")
        self.data.setup("test")
        if not getattr(self.data, "concepts", ()):
            raise ValueError(
                f"DissectionMonitor: {type(self.data).__name__} carries no concepts; use datamodules.Broden or "
                "datamodules.ConceptShapes"
            )
        available = len(self.data.split_indices("test"))
        if self.max_images is not None and self.max_images > available:
            raise ValueError(
                f"DissectionMonitor: max_images={self.max_images} exceeds the {available} images of "
                f"{type(self.data).__name__}; lower it, or leave it out for all of them"
            )
        # Layers by name are looked for now, not after an epoch.
        self.dissector(pl_module)
