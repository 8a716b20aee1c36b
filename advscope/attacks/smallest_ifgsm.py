"""The iterative fast gradient sign method at the smallest budget that succeeds."""

import torch
from torch import Tensor, nn
from tqdm import tqdm

from advscope.attacks.base import Attack, succeeded
from advscope.attacks.ifgsm import IFGSM
from advscope.attacks.losses import LOSSES, LossName
from advscope.attacks.norms import BALLS, NormName
from advscope.attacks.settings import choice, nonnegative, whole


class SmallestIFGSM(Attack):
    """For each image, IFGSM at the smallest ``eps`` of a grid at which it succeeds.

    The grid is ``resolution``, 2 ``resolution``, ..., ``highest``; each run starts from the clean image, has no random
    start, and takes ``steps`` steps of ``eps / steps``. Success is the prediction as wished and, with a confidence, a
    margin that reaches it. More budget may turn a success into a failure, so that no bisection finds the smallest one:
    the grid is scanned upwards. Images that have succeeded leave the batch, so that an image costs ``steps`` gradients
    and a forward pass for each ``resolution`` of its own eps.

    An image on which the network errs so already (with a target: that it predicts as the target) is returned as it is.
    One on which no eps succeeds is returned as the last iterate at ``highest``, and never as the clean image; for it
    the whole grid is paid. One whose mask is empty is returned as it is.

    Args:
        steps: Steps of each run, at least 1.
        norm: ``"Linf"`` or ``"L2"``. Published grids: 0.001 to 1 for Linf (the defaults), 0.01 to 10 for L2.
        resolution: Distance of two eps of the grid, and its first one, in image units, positive.
        highest: Last eps of the grid, a multiple of ``resolution``.
        loss: As for :class:`~advscope.attacks.PGD`.
        confidence: Least margin of a success in logits (kappa), at least 0.

    Raises:
        ValueError: If a setting is not as said here.

    References:
        Kurakin et al., *Adversarial examples in the physical world*, ICLR Workshop 2017,
        https://arxiv.org/abs/1607.02533, section 2.2; the search over eps is that of Xu et al., *Structured Adversarial
        Attack*, ICLR 2019, https://arxiv.org/abs/1808.01664, as its published code does it.
    """

    def __init__(
        self,
        steps: int = 10,
        norm: NormName = "Linf",
        resolution: float = 1e-3,
        highest: float = 1.0,
        loss: LossName = "cross_entropy",
        confidence: float = 0.0,
    ) -> None:
        self.steps = whole("steps", steps, 1)
        self.norm = choice("norm", norm, BALLS)
        self.resolution = nonnegative("resolution", resolution)
        self.highest = nonnegative("highest", highest)
        self.loss = choice("loss", loss, LOSSES)
        self.confidence = nonnegative("confidence", confidence)
        if self.resolution == 0:
            raise ValueError("resolution must be positive, got 0: the grid would have no end")
        self.budgets = round(self.highest / self.resolution)
        if self.budgets < 1 or abs(self.budgets * self.resolution - self.highest) > 1e-9 * self.highest:
            raise ValueError(f"highest must be a multiple of resolution = {resolution}, got {highest}")

    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
        mask: Tensor | None,
    ) -> Tensor:
        """Return the first success of each image on the grid; see :meth:`Attack.perturb`."""
        results = images.clone()
        left = ~self._succeeded(network, images, labels, targets)
        if mask is not None:
            left &= mask.flatten(1).any(1)
        remaining = left.nonzero().flatten()
        # Shown after five seconds, in a terminal alone.
        with tqdm(total=self.budgets, desc="eps", delay=5, disable=None, leave=False) as bar:
            for place in range(1, self.budgets + 1):
                if len(remaining) == 0:
                    break
                attack = IFGSM(place * self.resolution, steps=self.steps, norm=self.norm, loss=self.loss)
                wrong, keys = labels[remaining], indices[remaining]
                aims = None if targets is None else targets[remaining]
                part = None if mask is None else mask[remaining]
                found = attack.perturb(network, images[remaining], wrong, aims, keys, draw, part)
                successes = self._succeeded(network, found, wrong, aims)
                kept = successes if place < self.budgets else torch.ones_like(successes)
                results[remaining[kept]] = found[kept]
                remaining = remaining[~kept]
                bar.update()
        return results

    def _succeeded(self, network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        """Return whether the images are successes, at the cost of a forward pass, bool ``(N,)``."""
        with torch.no_grad():
            return succeeded(network(images), labels, targets, self.confidence)
