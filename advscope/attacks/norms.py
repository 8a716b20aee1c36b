"""The geometry of budgets: random starts, steepest steps and projections, per image."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from advscope import counter_hash

NormName = Literal["Linf", "L2"]


class Norm(ABC):
    """A norm that bounds a perturbation ``(N, C, H, W)``, image by image."""

    @abstractmethod
    def random(self, images: Tensor, eps: float, indices: Tensor, *counters: int) -> Tensor:
        """Return a random perturbation of norm at most ``eps``, as a function of (counters, index) alone."""

    @abstractmethod
    def direction(self, gradients: Tensor) -> Tensor:
        """Return the steepest perturbation of norm 1; zero where the gradient is zero."""

    @abstractmethod
    def project(self, perturbations: Tensor, eps: float) -> Tensor:
        """Return the nearest perturbation of norm at most ``eps``."""


class Linf(Norm):
    """The largest absolute value: a budget for each pixel and channel."""

    def random(self, images: Tensor, eps: float, indices: Tensor, *counters: int) -> Tensor:
        """Return a perturbation uniform in the box."""
        return (_noise(counter_hash.uniform, images, indices, *counters) * 2 - 1) * eps

    def direction(self, gradients: Tensor) -> Tensor:
        """Return the signs."""
        return gradients.sign()

    def project(self, perturbations: Tensor, eps: float) -> Tensor:
        """Clip each number."""
        return perturbations.clamp(-eps, eps)


class L2(Norm):
    """The Euclidean norm over channels and pixels."""

    def random(self, images: Tensor, eps: float, indices: Tensor, *counters: int) -> Tensor:
        """Return a perturbation uniform in the ball."""
        normal = _noise(counter_hash.normal, images, indices, *counters)
        radius = counter_hash.uniform(*counters, indices, -1).to(images.dtype) ** (1 / images[0].numel())
        return self.direction(normal) * (eps * radius[:, None, None, None])

    def direction(self, gradients: Tensor) -> Tensor:
        """Divide by the norm."""
        norms = lengths(gradients)
        return gradients / norms.where(norms > 0, 1)

    def project(self, perturbations: Tensor, eps: float) -> Tensor:
        """Shorten what is too long."""
        norms = lengths(perturbations)
        return perturbations * (eps / norms.where(norms > eps, max(eps, 1e-30))).where(norms > eps, 1)


NORMS: dict[str, Norm] = {"Linf": Linf(), "L2": L2()}
"""Norms by name."""


def lengths(perturbations: Tensor) -> Tensor:
    """Return the Euclidean norm of each image's perturbation, ``(N, 1, 1, 1)``.

    Summed in one order whatever the batch size and memory format, so that an image's norm is its own.
    """
    rows = perturbations.contiguous().flatten(1)
    return torch.stack([torch.linalg.vector_norm(row) for row in rows])[:, None, None, None]


def _noise(kind: Callable[..., Tensor], images: Tensor, indices: Tensor, *counters: int) -> Tensor:
    """Return noise in the images' shape and memory format; pixels are counted in (C, H, W) order."""
    pixels = torch.arange(images[0].numel(), device=images.device)
    noise = kind(*counters, indices[:, None], pixels).view(images.shape).to(images.dtype)
    return noise.contiguous(memory_format=torch.channels_last) if _channels_last(images) else noise


def _channels_last(images: Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
