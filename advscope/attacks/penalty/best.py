"""The best success of each image so far."""

import torch
from torch import Tensor

from advscope.attacks.row_sums import spread


class Best:
    """The images of least worth among those that succeeded; the clean ones, of infinite worth, until one does.

    Args:
        images: Clean images, ``(N, C, H, W)``.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images.clone()
        self.worths = torch.full_like(images[:, 0, 0, 0], torch.inf)

    def update(self, points: Tensor, worths: Tensor, reached: Tensor) -> None:
        """Take over the points that have succeeded and are worth less."""
        better = reached & (worths < self.worths)
        self.worths = torch.where(better, worths, self.worths)
        self.images = torch.where(spread(better), points, self.images)

    def keep(self, rows: Tensor) -> None:
        """Let the other images go."""
        self.images, self.worths = self.images[rows], self.worths[rows]
