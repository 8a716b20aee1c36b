"""Network dissection of units, and their sensitivity to an attack, during training and after it."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import LightningDataModule, LightningModule, Trainer

from advscope.attacks import PGD, Attack
from advscope.layers import find_layer
from advscope.measures import Dissection, DissectionSettings, dissect
from advscope.precision import full_precision
from advscope.report import TopImages, UnitExamples, write_top_images, write_unit_examples
from advscope.tables import write_significances
from callbacks.concept_images import ConceptImages
from callbacks.monitor import Monitor
from callbacks.unit_examples import top_images, unit_examples


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
        resolution: At which masks and annotations are compared: that of the ``label`` masks, or of the ``input``.
        align_corners: The corners of map and mask are the same places; false: the borders of their pixels are.
        detector: A unit whose best IoU exceeds this is a detector.
        draws: Random sets of units behind each p-value.
        chance: Count the detectors that other images' annotations would give, too.
        source: Attack concept images of this class alone (of the run's classes, by number or name); where images have
            no class, those that the network takes for it. Null for all.
        target: The class that the attack is to reach, by number or name; null for an untargeted attack.
        top_images: Number of images with the highest activation that are named for each unit; a few are shown.
        examples: Number of attacked images of which a test shows where units respond; the units are chosen over all of
            them, so that more than one make sense with a ``source`` and a ``target`` class.
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
        resolution: Literal["label", "input"] = "label",
        align_corners: bool = False,
        detector: float = 0.04,
        draws: int = 10_000,
        chance: bool = True,
        source: int | str | None = None,
        target: int | str | None = None,
        top_images: int = 5,
        examples: int = 1,
        every_n_epochs: int = 1,
        max_images: int | None = None,
    ) -> None:
        super().__init__(every_n_epochs, max_images)
        if examples < 0:
            raise ValueError(f"examples must not be negative, got {examples}")
        self.data: Any = data
        self.attack = attack or PGD(eps=4 / 255, step_size=1 / 255, steps=10)
        self.layers = None if layers is None else list(layers)
        self.settings = DissectionSettings(
            quantile, strict, union, resolution, align_corners, detector, draws, top_images, chance
        )
        self.source, self.target = source, target
        self.examples = examples
        self.image_size: tuple[int, int] = (0, 0)
        self.same_classes = False
        self.class_names: tuple[str, ...] = ()
        self.found: Dissection | None = None
        self.shown_pairs: UnitExamples | None = None
        self.shown_images: TopImages | None = None
        self.progress = False

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
        self.class_names = tuple(trainer.datamodule.class_names)  # type: ignore[attr-defined]
        self.settings = replace(self.settings, source=self._class("source"), target=self._class("target"))
        self.progress = bool(trainer.progress_bar_callback) and trainer.is_global_zero
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
        network: Any = pl_module.still
        images = ConceptImages(
            self.data,
            self.image_size,
            same_classes=self.same_classes,
            max_images=self.max_images,
            progress=self.progress,
        )
        with full_precision(pl_module.device.type):
            found = dissect(network, images, self.layers, attack=self.attack, settings=self.settings)
            if stage == "test":
                self._keep_examples(network, found, images)
        for layer, dissected in found.items():
            for quantity, estimate in dissected.figures.items():
                self.record(pl_module, f"{stage}/{self.attack_name}/{self.measure}/{layer}/{quantity}", estimate)
            self.counts = {f"{self.attack_name}/{self.measure}": dict(dissected.counts)}
        self.units = found.rows()
        self.tables = {"significance": found.significance}
        self.found = found

    def _keep_examples(self, network: Any, found: Dissection, images: ConceptImages) -> None:
        """Keep a few image pairs and top images; every process does the same, so that none waits for another."""
        chosen = found.attacked[: self.examples]
        self.shown_pairs = (
            unit_examples(network, found, images.at(chosen), self.attack, self.class_names) if chosen else None
        )
        self.shown_images = top_images(network, found, images.at) if self.settings.top_images else None

    def write(self, folder: Path) -> None:
        """Write the dissection, and what figures need of it."""
        if self.found is None:
            return
        self.found.save(folder / "dissection")
        write_significances(folder / "significance.csv", self.found.significance)
        if self.shown_pairs is not None:
            write_unit_examples(folder / "unit_examples.npz", self.shown_pairs)
        if self.shown_images is not None:
            write_top_images(folder / "top_images.npz", self.shown_images)

    def _class(self, name: str) -> int | None:
        """Return the number of the source or target class.

        Raises:
            ValueError: If the run has no such class.
        """
        given = getattr(self, name)
        if given is None:
            return None
        if isinstance(given, str) and given in self.class_names:
            return self.class_names.index(given)
        if isinstance(given, int) and 0 <= given < len(self.class_names):
            return given
        known = get_close_matches(str(given), self.class_names, n=3, cutoff=0.3) or list(self.class_names[:3])
        raise ValueError(
            f"DissectionMonitor: {name}={given!r} is none of the run's {len(self.class_names)} classes; the nearest "
            f"are {', '.join(known)}, and numbers go from 0"
        )
