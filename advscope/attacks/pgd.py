"""Projected gradient descent."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack, succeeded
from advscope.attacks.losses import LOSSES, LossName
from advscope.attacks.norms import BALLS, NormName
from advscope.attacks.settings import choice, nonnegative, whole

KeepName = Literal["last", "loss"]


class _Rated(NamedTuple):
    """Candidates, one per image, and what they are worth."""

    images: Tensor
    losses: Tensor
    successes: Tensor

    def improved(self, other: "_Rated") -> "_Rated":
        """Return, for each image, the other candidate where its loss is higher."""
        better = other.losses > self.losses
        return _Rated(
            torch.where(better[:, None, None, None], other.images, self.images),
            torch.where(better, other.losses, self.losses),
            torch.where(better, other.successes, self.successes),
        )


class PGD(Attack):
    r"""Projected gradient ascent of a loss in a ball around the image, from a random start.

    .. math::
        x^{k+1} = \Pi_{B(x, \epsilon) \cap [0, 1]} \left( x^k + \alpha \, d(\nabla_{x^k} L) \right)

    where d(g) is sign(g) (Linf) or g / ||g||_2 (L2). A value whose gradient is nan does not move.

    Args:
        eps: Radius of the ball, in image units, at least 0; 0 returns the clean images.
        step_size: Length alpha of a step in the norm, in image units.
        steps: Number of steps; 0 returns the start.
        norm: ``"Linf"`` or ``"L2"``.
        loss: ``"cross_entropy"``, ``"margin"`` or ``"dlr"``; see :mod:`advscope.attacks.losses`.
        keep: ``"last"`` returns the last iterate, ``"loss"`` that of the highest loss, the start among them, which
            costs one more forward pass.
        random_start: Whether to start from a point drawn uniformly from the ball, then clipped to [0, 1]; otherwise
            from the image.
        restarts: Number of runs, each from its own start. For each image the first that succeeds is returned (the
            prediction is the target or, without targets, is not the label), else the one of the highest loss. More
            than one costs a forward pass each, and leaves out the images that have succeeded.
        seed: Seed of the starts, which are a function of (seed, draw, restart, index).

    Raises:
        ValueError: If a setting is not as said here, or restarts would all start from the image.

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
        keep: KeepName = "last",
        random_start: bool = True,
        restarts: int = 1,
        seed: int = 0,
    ) -> None:
        self.eps = nonnegative("eps", eps)
        self.step_size = nonnegative("step_size", step_size)
        self.steps = whole("steps", steps, 0)
        self.norm = choice("norm", norm, BALLS)
        self.loss = choice("loss", loss, LOSSES)
        self.keep = choice("keep", keep, ("last", "loss"))
        if not isinstance(random_start, bool):
            raise ValueError(f"random_start must be true or false, got {random_start!r}")
        self.random_start = random_start
        self.restarts = whole("restarts", restarts, 1)
        self.seed = whole("seed", seed)
        if restarts > 1 and not random_start:
            raise ValueError(f"restarts must be 1 without a random start, got {restarts}: set random_start to true")

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
        """Return the images that the settings keep; see :meth:`Attack.perturb`."""
        if self.eps == 0:
            return images
        if self.restarts == 1:
            return self._run(network, images, labels, targets, indices, draw, 0, mask)[0]
        results = images.clone()
        highest = torch.full((len(images),), -torch.inf, dtype=torch.float64, device=images.device)
        remaining = torch.arange(len(images), device=images.device)
        for restart in range(self.restarts):
            aims = None if targets is None else targets[remaining]
            part = None if mask is None else mask[remaining]
            found, rated = self._run(
                network, images[remaining], labels[remaining], aims, indices[remaining], draw, restart, part
            )
            if rated is None:
                rated = self._rate(network, found, labels[remaining], aims)
            better = rated.successes | (rated.losses > highest[remaining])
            results[remaining[better]] = rated.images[better]
            highest[remaining[better]] = rated.losses[better].double()
            remaining = remaining[~rated.successes]
            if len(remaining) == 0:
                break
        return results

    def _run(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
        restart: int,
        mask: Tensor | None,
    ) -> tuple[Tensor, _Rated | None]:
        """Return the images that one run keeps, and their worth where keeping them has told it."""
        ball = BALLS[self.norm](images, self.eps, mask)
        iterates = ball.draw(indices, self.seed, draw, restart) if self.random_start else images
        best: _Rated | None = None
        for _ in range(self.steps):
            iterates = iterates.detach().requires_grad_()
            logits = network(iterates)
            losses = LOSSES[self.loss](logits, labels, targets)
            if not losses.requires_grad:
                raise ValueError(
                    "the network's logits have no gradient towards the images: take no_grad and detach out"
                )
            (gradients,) = torch.autograd.grad(losses.sum(), iterates)
            iterates = iterates.detach()
            if self.keep == "loss":
                rated = _Rated(iterates, losses.detach(), succeeded(logits.detach(), labels, targets))
                best = rated if best is None else best.improved(rated)
            iterates = ball.step(iterates, gradients.nan_to_num(nan=0.0), self.step_size)
        if self.keep == "last":
            return iterates, None
        last = self._rate(network, iterates, labels, targets)
        best = last if best is None else best.improved(last)
        return best.images, best

    def _rate(self, network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None) -> _Rated:
        """Return images with their losses and whether they succeed, at the cost of a forward pass."""
        with torch.no_grad():
            logits = network(images)
            return _Rated(images, LOSSES[self.loss](logits, labels, targets), succeeded(logits, labels, targets))
