"""Projected gradient descent."""

import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack
from advscope.attacks.losses import LOSSES, LossName
from advscope.attacks.norms import NORMS, NormName


class PGD(Attack):
    r"""Projected gradient ascent on a loss within a ball around each image.

    .. math::
        x^{k+1} = \Pi_{B(x, \epsilon) \cap [0, 1]^n} \left( x^k + \alpha \, \mathrm{steepest}(\nabla L(x^k)) \right)

    Args:
        eps: Radius of the ball, in image units (images span [0, 1]); not negative.
        step_size: Length of a step, alpha, in the same unit and norm.
        steps: Number of steps; each costs a forward and a backward pass.
        norm: ``"Linf"`` (a step is the gradient's sign) or ``"L2"`` (a step is the normalised gradient).
        loss: ``"cross_entropy"``, ``"margin"`` or ``"dlr"``; see :mod:`advscope.attacks.losses`.
        keep: ``"last"`` returns the last iterate, ``"loss"`` the one of highest loss, the start among them, at the cost
            of a forward pass more.
        random_start: Start at a random point of the ball, clipped to [0, 1], instead of at the image.
        restarts: Runs with other noise; returned is the first success in order, else the highest loss. Images that have
            succeeded are not attacked again.
        seed: Seed of the noise.

    Raises:
        ValueError: If a setting is not allowed.

    References:
        Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, ICLR 2018,
        https://arxiv.org/abs/1706.06083, section 2.1.
    """

    def __init__(
        self,
        eps: float = 8 / 255,
        step_size: float = 2 / 255,
        steps: int = 20,
        norm: NormName = "Linf",
        loss: LossName = "cross_entropy",
        keep: str = "last",
        random_start: bool = True,
        restarts: int = 1,
        seed: int = 0,
    ) -> None:
        for name, number in (("eps", eps), ("step_size", step_size), ("steps", steps)):
            if not number >= 0:
                raise ValueError(f"{name} must not be negative, got {number}")
        if restarts < 1:
            raise ValueError(f"restarts must be at least 1, got {restarts}")
        allowed = {"norm": (norm, tuple(NORMS)), "loss": (loss, tuple(LOSSES)), "keep": (keep, ("last", "loss"))}
        for name, (value, values) in allowed.items():
            if value not in values:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, values))}, got {value!r}")
        if restarts > 1 and not random_start:
            raise ValueError(f"restarts={restarts} without a random start repeat one run: set random_start or restarts=1")
        self.eps = eps
        self.step_size = step_size
        self.steps = steps
        self.norm = norm
        self.loss = loss
        self.keep = keep
        self.random_start = random_start
        self.restarts = restarts
        self.seed = seed

    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
    ) -> Tensor:
        """Run, and run again where a restart may help."""
        best = self.run(network, images, labels, targets, indices, draw, 0)
        if self.restarts == 1:
            return best
        highest, success = self.judge(network, best, labels, targets)
        for restart in range(1, self.restarts):
            left = (~success).nonzero().flatten()
            if not len(left):
                break
            aims = None if targets is None else targets[left]
            found = self.run(network, images[left], labels[left], aims, indices[left], draw, restart)
            losses, succeeded = self.judge(network, found, labels[left], aims)
            better = succeeded | (losses > highest[left])
            best[left[better]] = found[better]
            highest[left[better]] = losses[better]
            success[left] = succeeded
        return best

    def run(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
        restart: int,
    ) -> Tensor:
        """Return the iterate that one run keeps."""
        norm, loss = NORMS[self.norm], LOSSES[self.loss]
        current = images
        if self.random_start:
            current = (images + norm.random(images, self.eps, indices, self.seed, draw, restart)).clamp(0, 1)
        best, highest = current, torch.full_like(labels, -torch.inf, dtype=images.dtype)
        for _ in range(self.steps):
            current = current.detach().requires_grad_()
            losses = loss(network(current), labels, targets)
            (gradients,) = torch.autograd.grad(losses.sum(), current)
            current = current.detach()
            if self.keep == "loss":
                best, highest = _higher(best, highest, current, losses.detach())
            moved = current + self.step_size * norm.direction(gradients)
            current = (images + norm.project(moved - images, self.eps)).clamp(0, 1)
        if self.keep == "last":
            return current
        with torch.no_grad():
            return _higher(best, highest, current, loss(network(current), labels, targets))[0]

    def judge(
        self, network: nn.Module, adversarials: Tensor, labels: Tensor, targets: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return each image's loss, and whether it is adversarial."""
        with torch.no_grad():
            logits = network(adversarials)
        predictions = logits.argmax(1)
        succeeded = predictions != labels if targets is None else predictions == targets
        return LOSSES[self.loss](logits, labels, targets).to(adversarials.dtype), succeeded


def _higher(best: Tensor, highest: Tensor, current: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """Return, image by image, what has the higher loss."""
    better = losses.to(highest.dtype) > highest
    return torch.where(better[:, None, None, None], current, best), torch.where(better, losses, highest)
