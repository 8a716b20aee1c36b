"""The balls that perturbations are held in: where a search starts in one, steps in it, and is pulled back to it.

Every reduction is over one image, in an order that depends on nothing but its shape, so that neither the batch nor the
memory format, the device or the number of threads changes a result.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from advscope.attacks.row_sums import row_sums
from advscope.counter_hash import normal, uniform

NormName = Literal["Linf", "L2"]


class Ball(ABC):
    """The images in [0, 1] within ``eps`` of given ones that differ from them inside a mask alone.

    Outside the mask a point of the ball is bit for bit its centre, and no gradient there counts for a norm.

    Args:
        images: Centres in [0, 1], ``(N, C, H, W)``.
        eps: Radius in image units, at least 0.
        mask: Where a value may change, bool ``(N, 1, H, W)``; ``None`` for everywhere.
    """

    def __init__(self, images: Tensor, eps: float, mask: Tensor | None = None) -> None:
        self.images = images
        self.eps = eps
        # One flag for each value, in (C, H, W) order as the noise.
        self.inside = None if mask is None else mask.expand_as(images).flatten(1)

    @abstractmethod
    def draw(self, indices: Tensor, *counters: int) -> Tensor:
        """Return random images, uniform in the unclipped ball (inside the mask), then clipped to [0, 1].

        Args:
            indices: Keys of the images, int64 ``(N,)``.
            *counters: What else the noise is a function of.
        """

    @abstractmethod
    def step(self, iterates: Tensor, gradients: Tensor, step_size: float) -> Tensor:
        """Return the iterates after a step of steepest ascent of length ``step_size`` and projection."""

    def _places(self) -> Tensor:
        """Return the place of each value of an image in (C, H, W) order, ``(1, C * H * W)``."""
        return torch.arange(self.images[0].numel(), device=self.images.device)[None]

    def _like_images(self, values: Tensor) -> Tensor:
        """Return ``(N, C * H * W)`` values in the shape, type and memory format of the images."""
        return torch.empty_like(self.images).copy_(values.view(self.images.shape))

    def _masked(self, values: Tensor) -> Tensor:
        """Return ``(N, C * H * W)`` values, 0 outside the mask."""
        return values if self.inside is None else torch.where(self.inside, values, 0)


class LinfBall(Ball):
    """The ball of the largest absolute difference."""

    def __init__(self, images: Tensor, eps: float, mask: Tensor | None = None) -> None:
        super().__init__(images, eps, mask)
        # The ball, [0, 1] and the mask are boxes: one clamp projects onto all three.
        self.lower = (images - eps).clamp_(min=0)
        self.upper = (images + eps).clamp_(max=1)
        if mask is not None:
            self.lower = torch.where(mask, self.lower, images)
            self.upper = torch.where(mask, self.upper, images)

    def draw(self, indices: Tensor, *counters: int) -> Tensor:
        """Return x + U(-eps, eps), clipped."""
        noise = uniform(*counters, indices[:, None], self._places()) * 2 - 1
        return (self.images + self._like_images(noise) * self.eps).clamp_(self.lower, self.upper)

    def step(self, iterates: Tensor, gradients: Tensor, step_size: float) -> Tensor:
        """Return x + step_size * sign(gradient), projected."""
        return (iterates + gradients.sign() * step_size).clamp_(self.lower, self.upper)


class L2Ball(Ball):
    """The ball of the Euclidean distance."""

    def draw(self, indices: Tensor, *counters: int) -> Tensor:
        """Return x + eps * u^(1/n) * z / ||z||, clipped; z is normal, u uniform, n the number of values inside."""
        places = self._places()
        size = places.shape[1]
        direction, _ = _normalize(self._masked(normal(*counters, indices[:, None], places)))
        # The radius has the place after the last value to itself.
        radius = uniform(*counters, indices[:, None], size).double()
        if self.inside is None:
            radius = radius.pow(1 / size).float()
        else:
            radius = radius.pow(1 / self.inside.sum(1, keepdim=True).clamp(min=1).double()).float()
        return (self.images + self._like_images(direction * radius) * self.eps).clamp_(0, 1)

    def step(self, iterates: Tensor, gradients: Tensor, step_size: float) -> Tensor:
        """Return x + step_size * gradient / ||gradient||, projected; no move where the gradient is zero."""
        direction, _ = _normalize(self._masked(gradients.flatten(1)))
        moved = iterates + self._like_images(direction) * step_size
        perturbations = moved - self.images
        _, lengths = _normalize(perturbations.flatten(1))
        shrinkage = (self.eps / lengths).clamp(max=1)[:, :, None, None]
        # Left alone inside the ball: adding and subtracting the centre would round.
        projected = torch.where(shrinkage < 1, self.images + perturbations * shrinkage, moved)
        return projected.clamp_(0, 1)


BALLS: dict[str, type[Ball]] = {"Linf": LinfBall, "L2": L2Ball}
"""The balls by the name of their norm."""


def _normalize(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(N, D)`` vectors at unit length (zero stays zero), and their lengths ``(N, 1)``.

    Example:
        >>> _normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        (tensor([[0.6000, 0.8000], [0.0000, 0.0000]]), tensor([[5.], [0.]]))
    """
    # By the largest value first: squares of small gradients underflow.
    largest = vectors.abs().amax(1, keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, 1)
    lengths = row_sums(scaled.square())[:, None].sqrt()
    return scaled / torch.where(lengths > 0, lengths, 1), lengths * largest
