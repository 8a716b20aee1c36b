"""How accurate and how robust a network is without some of a layer's units, in a test."""

from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningModule, Trainer
from tqdm import tqdm

from advscope.attacks import PGD, Attack
from advscope.frozen import MicroBatched
from advscope.intervals import Estimate
from advscope.layers import find_layer
from advscope.measures import MaskedOutcome, MaskingPoint, masking_curve, unit_orders
from advscope.measures.masking_curve import masked_sets
from advscope.measures.unit_orders import ORDERS, check_numbers, check_orders, usual_numbers
from advscope.networks import UnitMasking
from advscope.precision import full_precision
from advscope.processes import highest
from advscope.tables import write_masking
from callbacks.evaluation_record import EvaluationRecord
from callbacks.kept_outcomes import KeptOutcomes
from callbacks.layer_units import count_units
from callbacks.monitor import Monitor
from callbacks.tested_images import TestedImages
from callbacks.unit_ranking import COLUMNS, dissection_before, ranking_file, ranking_rows

_UNDEFINED = MaskingPoint(*(Estimate(torch.nan, torch.nan, torch.nan, 0) for _ in MaskingPoint._fields))


class UnitMaskingMonitor(Monitor):
    """Masks the most sensitive units of a layer, or the most interpretable, or random ones, and attacks what is left.

    Beside :class:`~callbacks.DissectionMonitor` the one monitor that attacks by itself: each masked network is attacked
    anew, since an attack on the whole network says little of the masked one. It does so in a test alone, once all
    batches are done, in one pass over the test images for each set of units. Logs
    ``test/{attack}/masking/{layer}/{order}/{n}/{quantity}``, where ``{attack}`` is the lower-case name of its attack's
    class and the quantities are ``clean_accuracy``, ``robust_accuracy``, and both minus those of no masked unit, paired
    by image (``clean_difference``, ``robust_difference``); ``masking.csv`` holds the rates. See
    :func:`~advscope.measures.masking_curve`.

    An evaluation that is killed goes on after the last set of units that was done. ``--max_minutes`` does not stop it
    on the way; where time was up before, it is left to the evaluation that goes on.

    Args:
        layer: Name of a submodule whose output is ``(N, K, h, w)`` or ``(N, K)``.
        attack: Attack on the masked networks, untargeted; null for PGD with eps 4/255, step 1/255, 10 steps.
        ranking: Path of a ``units.csv`` that ranks the units; null for what a DissectionMonitor that stands before
            this one finds in the same evaluation.
        numbers: How many units are masked, rising from 0; null for 0 and a 32nd, a 16th, an eighth, a quarter and a
            half of the layer's.
        orders: Of ``sensitive`` (falling v), ``interpretable`` (falling IoU(k)), ``random``.
        permutations: Random orders, whose mean is given.
        seed: Of the random orders.
        sensitivity: v(k) over the ``attacked`` concept images, the paper's, or over ``all``: of a robust network few
            are attacked, and where none is no unit has the former.
        max_images: Take the first so many test images alone; null for all.

    Raises:
        ValueError: If a setting is out of range, the layer unknown, ranked by nothing or without so many units, or
            there is another one of its kind.
        FileNotFoundError: If there is no file of that path.
    """

    measure = "masking"

    def __init__(
        self,
        layer: str,
        attack: Attack | None = None,
        ranking: str | None = None,
        numbers: Sequence[int] | None = None,
        orders: Sequence[str] = ORDERS,
        permutations: int = 3,
        seed: int = 0,
        sensitivity: Literal["attacked", "all"] = "attacked",
        max_images: int | None = None,
    ) -> None:
        super().__init__(max_images=max_images)
        if sensitivity not in COLUMNS:
            raise ValueError(f'sensitivity must be "attacked" or "all", got {sensitivity!r}')
        if numbers is not None:
            check_numbers(numbers)
        check_orders(orders)
        if permutations < 1:
            raise ValueError(f"permutations must be at least 1, got {permutations}")
        self.layer = layer
        self.attack = attack or PGD(eps=4 / 255, step_size=1 / 255, steps=10)
        self.ranking = ranking
        self.numbers = None if numbers is None else tuple(numbers)
        self.orders = tuple(orders)
        self.permutations = permutations
        self.seed = seed
        self.sensitivity = sensitivity
        self.count = 0
        self.ranked = (torch.zeros(0), torch.zeros(0))

    @property
    def attack_name(self) -> str:
        """Name of the attack in log keys."""
        return type(self.attack).__name__.lower()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look for the layer and for what ranks its units, so that what is wrong is said before the first step."""
        super().setup(trainer, pl_module, stage)
        find_layer(pl_module.network, self.layer)  # type: ignore[arg-type]
        if stage != "test":
            return
        self.count = count_units(pl_module.still, self.layer, trainer.datamodule.image_size)  # type: ignore[arg-type, attr-defined]
        if self.numbers is not None and self.numbers[-1] > self.count:
            raise ValueError(
                f"UnitMaskingMonitor: numbers ask for {self.numbers[-1]} masked units, and layer {self.layer} has "
                f"{self.count}; leave out what is above"
            )
        if self.ranking is None:
            dissection_before(trainer.callbacks, self, self.layer)  # type: ignore[attr-defined]
        else:
            self.ranked = ranking_file(self.ranking, self.layer, self.count, self.sensitivity)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mask and attack, if the test has come to its end."""
        self.forget()
        record = next((each for each in trainer.callbacks if isinstance(each, EvaluationRecord)), None)  # type: ignore[attr-defined]
        data = trainer.datamodule  # type: ignore[attr-defined]
        unfinished = record is not None and data.stopped and record.shards.count() < len(record.planned)
        # Asked of all processes: none may wait for sums of one that has stopped.
        if int(highest(torch.tensor(unfinished, dtype=torch.int64, device=pl_module.device))):
            return
        if self.ranking is None:
            found = dissection_before(trainer.callbacks, self, self.layer)  # type: ignore[attr-defined]
            self.ranked = ranking_rows(found.units, self.layer, self.count, self.sensitivity)
        rankings = unit_orders(*self.ranked, self.permutations, self.seed)
        orders = {name: rankings[name] for name in self.orders}
        ranked = len(rankings["sensitive"][0])
        wanted = self.numbers or usual_numbers(self.count)
        images = TestedImages(trainer, self.max_images)
        outcomes: MutableMapping[tuple[int, ...], MaskedOutcome] = (
            {} if record is None else KeptOutcomes(record.shards, self.layer, images.indices)
        )
        still: Any = pl_module.still
        possible = [number for number in wanted if number <= ranked]
        sets = masked_sets(orders, possible)
        todo = sum(units not in outcomes for units in sets)
        shown = trainer.is_global_zero and trainer.progress_bar_callback is not None
        with (
            full_precision(pl_module.device.type),
            tqdm(total=todo * len(images.indices), desc=f"Masking units of {self.layer}", unit="image",
                 disable=not shown, dynamic_ncols=True) as images.bar,
        ):  # fmt: skip
            curve = masking_curve(
                lambda units: MicroBatched(UnitMasking(still.network, {self.layer: units}), still.size),
                images, orders, possible, self.attack, outcomes,
            )  # fmt: skip
        for units in sets:
            still.forwards += outcomes[units].forwards
            still.backwards += outcomes[units].backwards
        self.keep(pl_module, curve, wanted, ranked)

    def keep(
        self, pl_module: LightningModule, curve: dict[str, dict[int, MaskingPoint]], numbers: Sequence[int], ranked: int
    ) -> None:
        """Log what was found, and keep it as rows; a number of which there are not so many ranked units has none."""
        key = f"test/{self.attack_name}/{self.measure}/{self.layer}"
        rows = self.tables.setdefault("masking", [])
        undefined = Estimate(float(self.count - ranked), torch.nan, torch.nan, self.count)
        self.record(pl_module, f"{key}/units_undefined", undefined)
        for order, points in curve.items():
            for number in numbers:
                point = points.get(number, _UNDEFINED)
                for quantity, estimate in quantities(point).items():
                    self.record(pl_module, f"{key}/{order}/{number}/{quantity}", estimate)
                rows.append({
                    "layer": self.layer,
                    "order": order,
                    "masked": number,
                    "units": ranked,
                    "attack": self.attack_name,
                    "images": point.clean.n,
                    "clean_accuracy": point.clean.value,
                    "clean_low": point.clean.low,
                    "clean_high": point.clean.high,
                    "robust_accuracy": point.robust.value,
                    "robust_low": point.robust.low,
                    "robust_high": point.robust.high,
                })  # fmt: skip

    def write(self, folder: Path) -> None:
        """Write one row per order and number of masked units."""
        if rows := self.tables.get("masking"):
            write_masking(folder / "masking.csv", rows)


def quantities(point: MaskingPoint) -> dict[str, Estimate]:
    """Return the figures of a number of masked units by their names in log keys."""
    return {
        "clean_accuracy": point.clean,
        "robust_accuracy": point.robust,
        "clean_difference": point.clean_difference,
        "robust_difference": point.robust_difference,
    }
