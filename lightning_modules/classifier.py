"""What all training objectives share: the training step around a loss, and the evaluation step."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn

from advscope.attacks import Attack, Refined
from advscope.batch import AttackedBatch, Batch
from advscope.frozen import MicroBatched
from advscope.intervals import Estimate
from advscope.measures import AttackCost, RobustAccuracy
from advscope.precision import full_precision
from lightning_modules.attacked import attack_batch
from lightning_modules.schedules import Constant, Schedule
from lightning_modules.targets import Rule


class Classifier(LightningModule):
    """Trains a network on a loss, and evaluates it on clean and on attacked images.

    A subclass says how a batch becomes a loss. Each configured attack runs once per evaluated batch, in float32, on
    micro-batches of a fixed size; the steps return ``{attack name: AttackedBatch}`` for the monitors.

    ========================================= ==================================================================
    Key                                       Logged value
    ========================================= ==================================================================
    ``{stage}/clean/accuracy``                Accuracy on the clean images; ``stage`` is ``val`` or ``test``
    ``{stage}/{attack}/robust_accuracy``      Share of all images whose returned image is still predicted as its label
    ``{stage}/all/robust_accuracy``           Share of all images that withstand every attack
    ``{stage}/{attack}/cost/forward_passes``  Mean number of forward passes of an image in the attack, and
    ``{stage}/{attack}/cost/backward_passes`` of backward passes; without an interval
    ========================================= ==================================================================

    Args:
        network: Maps images in [0, 1] to logits.
        attacks: Attacks to evaluate with, by name; ``clean`` and ``all`` are taken.
        optimizer: Makes the optimizer from the parameters.
        schedule: Scales the learning rate, step by step.
        weight_decay_on: ``"all"`` parameters, or the ``"weights"`` of convolutions and linear layers alone.
        validation_attack_images: Only so many images of the validation split, in its fixed order, are attacked.
        micro_batch: Images in a micro-batch of the evaluation; see :class:`~advscope.frozen.MicroBatched`.
        targeting: For attacks that are to be targeted: the rule that chooses their targets, or the number of a class,
            by attack name.
        target_seed: Seed of ``"random"`` targets, which are a function of it and of an image's place in the data set;
            the same for every attack, so that attacks are compared at equal targets.

    Raises:
        ValueError: If an attack has a name that is taken, or ``targeting`` names no attack.
    """

    trained_on: ClassVar[str]
    """Quantity that the accuracy of the training step is: ``accuracy`` or ``robust_accuracy``."""

    def __init__(
        self,
        network: nn.Module,
        attacks: dict[str, Attack] | None = None,
        optimizer: OptimizerCallable = torch.optim.SGD,
        schedule: Schedule | None = None,
        weight_decay_on: Literal["all", "weights"] = "all",
        validation_attack_images: int = 512,
        micro_batch: int = 64,
        targeting: dict[str, Rule | int] | None = None,
        target_seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.attacks = dict(attacks or {})
        self.optimizer = optimizer
        self.schedule = schedule or Constant()
        self.weight_decay_on = weight_decay_on
        self.validation_attack_images = validation_attack_images
        self.targeting = dict(targeting or {})
        self.target_seed = target_seed
        for name in self.attacks:
            if name in ("clean", "all") or "/" in name:
                raise ValueError(f"an attack must not be named 'clean' or 'all' or have a '/', got {name!r}: rename it")
        unknown = set(self.targeting) - set(self.attacks)
        if unknown:
            raise ValueError(f"targeting names {sorted(unknown)}, which are not among the attacks {list(self.attacks)}")
        # In a list, so that the wrapper is no submodule of the checkpoint.
        self._still = [MicroBatched(self.network, micro_batch)]
        self._attacked_first: Tensor | None = None
        stages = ("validate", "test")
        self.accuracies = nn.ModuleDict({stage: RobustAccuracy(list(self.attacks)) for stage in stages})
        self.costs = nn.ModuleDict({stage: AttackCost(list(self.attacks)) for stage in stages})
        self.estimates: dict[str, Estimate] = {}

    @property
    def still(self) -> MicroBatched:
        """The network as the evaluation runs it."""
        return self._still[0]

    @abstractmethod
    def training_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, a scalar, and the logits of the images trained on, ``(N, K)``."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` images in [0, 1], ``(N, K)``."""
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss on a batch."""
        loss, logits = self.training_loss(batch)
        correct = (logits.argmax(1) == batch.labels).float().mean()
        size = len(batch.labels)
        self.log("train/loss", loss, on_step=True, on_epoch=False, batch_size=size)
        self.log(f"train/{self.trained_on}", correct, on_step=True, on_epoch=False, prog_bar=True, batch_size=size)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Settle which images of the validation split are attacked."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is None or not hasattr(datamodule, "split_indices"):
            raise ValueError("validation needs a datamodule with split_indices(); see datamodules.InMemoryDataModule")
        self._attacked_first = datamodule.split_indices("val")[: self.validation_attack_images].to(self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, AttackedBatch]:
        """Evaluate on a batch; attack those of its images that are among the first of the split."""
        attackable = torch.isin(batch.indices, self._attacked_first)
        return self.evaluate(batch, attackable, "validate")

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, AttackedBatch]:
        """Evaluate on a batch; attack all of it. One without images is of an evaluation that goes on after it."""
        if not len(batch.indices):
            return {}
        return self.evaluate(batch, torch.ones_like(batch.indices, dtype=torch.bool), "test")

    def evaluate(self, batch: Batch, attackable: Tensor, stage: str) -> dict[str, AttackedBatch]:
        """Predict a batch and attack it, once per attack."""
        accuracy, cost = self.accuracies[stage], self.costs[stage]
        with full_precision(self.device.type):
            batch = batch._replace(images=batch.images.float())
            logits = self.still(batch.images)
            accuracy.update_clean(logits.argmax(1), batch.labels)
            part = batch.part(attackable)
            if not len(part.images):
                return {}
            attacked: dict[str, AttackedBatch] = {}
            spent: dict[str, tuple[int, int]] = {}
            for name, attack in self.attacks.items():
                before = self.still.forwards, self.still.backwards
                rule, known = self.targeting.get(name), self.refined_from(name, attacked)
                first = None if known is None else attacked[known].adversarials
                attacked[name] = attack_batch(
                    self.still, attack, part, logits[attackable], rule, self.target_seed, first
                )
                # One forward pass predicts what the attack returned: that one is the evaluation's. What the first run
                # of a refined attack took is its cost, too.
                count, (forwards, backwards) = len(part.images), spent.get(known or "", (0, 0))
                spent[name] = (
                    forwards + self.still.forwards - before[0] - count,
                    backwards + self.still.backwards - before[1],
                )
                cost.update(name, count, *spent[name])
        accuracy.update_attacked(
            {name: result.adversarial_logits.argmax(1) for name, result in attacked.items()}, part.labels
        )
        return attacked

    def refined_from(self, name: str, attacked: Mapping[str, AttackedBatch]) -> str | None:
        """Return which attack, of those that ran already, an attack refines at the same targets; ``None`` for none."""
        refined, rule = self.attacks[name], self.targeting.get(name)
        if not isinstance(refined, Refined):
            return None
        same = (each for each in attacked if self.attacks[each] == refined.attack and self.targeting.get(each) == rule)
        return next(same, None)

    def on_validation_epoch_end(self) -> None:
        """Log the accuracies, and what the attacks cost."""
        self.log_estimates("val", "validate")

    def on_test_epoch_end(self) -> None:
        """Log the accuracies, and what the attacks cost."""
        self.log_estimates("test", "test")

    def log_estimates(self, prefix: str, stage: str) -> None:
        """Log the accuracies and costs of an epoch, and keep them with their intervals in ``estimates``."""
        accuracy, cost = self.accuracies[stage], self.costs[stage]
        self.estimates = {f"{prefix}/{key}": estimate for key, estimate in accuracy.compute().items()}
        # A metric that was never updated warns: without attacks, this one never is.
        for key, estimate in cost.compute().items() if self.attacks else ():
            attack, quantity = key.rsplit("/", 1)
            self.estimates[f"{prefix}/{attack}/cost/{quantity}"] = estimate
        accuracy.reset()
        cost.reset()
        shown = ("clean/accuracy", "all/robust_accuracy")
        for key, estimate in self.estimates.items():
            self.log(key, estimate.value, prog_bar=key.endswith(shown), sync_dist=False, rank_zero_only=False)

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and its schedule stepped with every batch."""
        optimizer = self.optimizer(self.parameter_groups())
        total = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = self.schedule
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule.factor(min(1.0, step / total)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters, those without weight decay in a group of their own."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        if self.weight_decay_on == "all":
            return [{"params": parameters}]
        return [
            {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
            {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random state, for networks that draw from it (dropout)."""
        checkpoint["random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take the random state up again."""
        if "random_state" in checkpoint:
            torch.set_rng_state(checkpoint["random_state"].cpu())
