"""What the network says of perturbed images: how far they are from success, and which way leads there."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.attacks.base import succeeded
from advscope.attacks.losses import margin
from advscope.attacks.row_sums import spread


class Standing(NamedTuple):
    """Where ``N`` images stand."""

    lacking: Tensor
    """Logits that lack to the wished margin, negative beyond it, infinite where the logits are nan, ``(N,)``."""
    gradients: Tensor
    """Gradient of the margin with respect to the image, 0 where the logits are nan, ``(N, C, H, W)``."""
    reached: Tensor
    """Whether the attack has succeeded with its confidence, bool ``(N,)``."""


class Hinge:
    """The penalty max(kappa - margin, 0) of a targeted or untargeted attack, for some images.

    Args:
        network: Maps images to logits.
        labels: Classes to get away from, ``(N,)``.
        targets: Classes to reach, ``(N,)``, or ``None``.
        confidence: kappa, in logits.
        dtype: Type that the network is given images in, or ``None`` for that of the points. Points are judged as they
            are when rounded to it.
    """

    def __init__(
        self,
        network: nn.Module,
        labels: Tensor,
        targets: Tensor | None,
        confidence: float,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.network = network
        self.labels = labels
        self.targets = targets
        self.confidence = confidence
        self.dtype = dtype

    def at(self, points: Tensor) -> Standing:
        """Return where images ``(N, C, H, W)`` stand, by one forward and one backward pass.

        Raises:
            ValueError: If the logits have no gradient towards the images.
        """
        points = points.detach().requires_grad_()
        logits = self.network(points if self.dtype is None else points.to(self.dtype))
        margins = margin(logits, self.labels, self.targets)
        if not margins.requires_grad:
            raise ValueError("the network's logits have no gradient towards the images: take no_grad and detach out")
        (gradients,) = torch.autograd.grad(margins.sum(), points)
        reached = succeeded(logits.detach(), self.labels, self.targets, self.confidence)
        # An image that the network answers with nan is one that it must be led away from, not one that is lost. Nor is
        # it a success, although argmax takes nan for the largest logit.
        unknown = margins.detach().isnan()
        lacking = (self.confidence - margins.detach()).nan_to_num(nan=torch.inf)
        gradients = torch.where(spread(unknown), 0, gradients.nan_to_num(nan=0.0))
        return Standing(lacking.to(points.dtype), gradients, reached & ~unknown)

    def rows(self, rows: Tensor) -> "Hinge":
        """Return the hinge of some of the images."""
        targets = None if self.targets is None else self.targets[rows]
        return Hinge(self.network, self.labels[rows], targets, self.confidence, self.dtype)
