"""Adversarial training as Madry et al. do it."""

import copy
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advscope.attacks import Attack
from advscope.batch import Batch
from advscope.frozen import FoldedBatchNorm
from lightning_modules.classifier import Classifier


class MadryClassifier(Classifier):
    r"""Trains a network on adversarial images alone.

    .. math::
        \min_\theta \mathbb{E}_{(x, y)} \max_{\lVert \delta \rVert \leq \epsilon} L(\theta, x + \delta, y)

    ========================== ===================================================
    Key                        Logged value
    ========================== ===================================================
    ``train/loss``             Cross-entropy on the adversarial images trained on
    ``train/robust_accuracy``  Accuracy on them
    ``train/eps_factor``       Share of the budget that the warm-up has reached
    ========================== ===================================================

    Args:
        attack: The inner maximisation. Its noise is a function of (epoch, index).
        batch_norm: ``"eval"``: BatchNorm uses its running statistics while attacking, and the training step its
            batch statistics, as MadryLab/robustness does (D4). ``"train"``: batch statistics in the attack too, which
            then also move the running ones, as the original does.
        fold_batch_norm: Fold BatchNorm into the convolutions inside the attack; the same function, faster. Only with
            ``batch_norm="eval"``.
        eps_warmup_epochs: Epochs over which ``eps`` and ``step_size`` rise linearly to their full value. Without it a
            small network stays at chance.
        **kwargs: As for :class:`~lightning_modules.classifier.Classifier`.

    Raises:
        ValueError: If ``eps_warmup_epochs`` is negative, or positive with an attack that has no ``eps``.

    References:
        Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, ICLR 2018,
        https://arxiv.org/abs/1706.06083, Eq. (2.1).
    """

    trained_on = "robust_accuracy"

    def __init__(
        self,
        attack: Attack,
        batch_norm: Literal["eval", "train"] = "eval",
        fold_batch_norm: bool = True,
        eps_warmup_epochs: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if eps_warmup_epochs < 0:
            raise ValueError(f"eps_warmup_epochs must not be negative, got {eps_warmup_epochs}")
        if eps_warmup_epochs and not hasattr(attack, "eps"):
            raise ValueError(f"{type(attack).__name__} has no eps to warm up; set eps_warmup_epochs to 0")
        self.attack = attack
        self.batch_norm = batch_norm
        self.fold_batch_norm = fold_batch_norm
        self.eps_warmup_epochs = eps_warmup_epochs
        # In a list, so that the copy is no submodule of the checkpoint.
        self._folded: list[FoldedBatchNorm] = []

    def training_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy on the adversarial images, and their logits."""
        factor = self.eps_factor()
        self.log("train/eps_factor", factor)
        adversarials = self.warmed_up(factor)(
            self.attacked_network(), batch.images, batch.labels, indices=batch.indices, draw=self.current_epoch
        )
        logits = self.network(adversarials)
        return cross_entropy(logits, batch.labels), logits

    def eps_factor(self) -> float:
        """Return the share of the budget that this step trains with, in (0, 1]."""
        steps = self.eps_warmup_epochs * self.trainer.num_training_batches
        return min(1.0, (self.global_step + 1) / steps) if steps else 1.0

    def warmed_up(self, factor: float) -> Attack:
        """Return the attack with its budget and step scaled by ``factor``."""
        if factor == 1.0:
            return self.attack
        attack = copy.copy(self.attack)
        for name in ("eps", "step_size"):
            if hasattr(attack, name):
                setattr(attack, name, getattr(attack, name) * factor)
        return attack

    def attacked_network(self) -> nn.Module:
        """Return the network as the attack sees it: the same function, with the BatchNorm of the setting."""
        if self.batch_norm == "train":
            return _InTrainingMode(self.network)
        if not self.fold_batch_norm:
            return self.network
        if not self._folded:
            self._folded.append(FoldedBatchNorm(self.network))
        return self._folded[0].refresh()


class _InTrainingMode(nn.Module):
    """A network that stays in training mode whatever mode it is put in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.train()

    def train(self, mode: bool = True) -> "_InTrainingMode":
        """Leave the modes alone."""
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(images)
        return logits
