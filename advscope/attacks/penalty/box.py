"""The images that an attack may return: in [0, 1], near the clean ones, equal to them outside a mask."""

from typing import NamedTuple

import torch
from torch import Tensor


class Box(NamedTuple):
    """Clean images and the bounds of what may be made of them, one row per image."""

    images: Tensor
    """Clean images x0, ``(N, C, H, W)``."""
    lower: Tensor
    """Least allowed values, ``(N, C, H, W)``."""
    upper: Tensor
    """Largest allowed values, ``(N, C, H, W)``."""

    @classmethod
    def around(cls, images: Tensor, eps: float | None = None, mask: Tensor | None = None) -> "Box":
        """Return the box of images in [0, 1], at most ``eps`` from the clean ones, equal to them outside a mask.

        Args:
            images: Clean images in [0, 1], ``(N, C, H, W)``.
            eps: Largest change of a value (l-inf), or ``None`` for no such bound.
            mask: True where pixels may change, bool ``(N, 1, H, W)`` or ``(N, C, H, W)``, or ``None``.
        """
        lower, upper = torch.zeros_like(images), torch.ones_like(images)
        if eps is not None:
            lower, upper = (images - eps).clamp_(min=0), (images + eps).clamp_(max=1)
        if mask is not None:
            lower, upper = torch.where(mask, lower, images), torch.where(mask, upper, images)
        return cls(images, lower, upper)

    def clip(self, points: Tensor) -> Tensor:
        """Return the nearest images in the box."""
        return points.clamp(self.lower, self.upper)

    def rows(self, rows: Tensor) -> "Box":
        """Return the box of some of the images."""
        return Box(*(part[rows] for part in self))
