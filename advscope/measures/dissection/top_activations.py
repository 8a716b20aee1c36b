"""The images on which each unit is most active."""

import torch
from torch import Tensor

from advscope.processes import stacked


class TopActivations:
    """For each unit the images with its highest activations; of equal ones the first in the data set.

    Args:
        units: K.
        number: Images for each unit.
        device: Where the maps are.

    Attributes:
        values: The activations, falling, float32 ``(K, number)``; -inf where there are fewer images.
        indices: Place of each image in its data set, int64 ``(K, number)``; -1 where there are fewer.
    """

    def __init__(self, units: int, number: int, device: torch.device | str = "cpu") -> None:
        self.values = torch.full((units, number), -torch.inf, device=device)
        self.indices = torch.full((units, number), -1, dtype=torch.int64, device=device)

    def count(self, maxima: Tensor, indices: Tensor) -> None:
        """Take images into account.

        Args:
            maxima: The highest activation of each unit on each image, float32 ``(N, K)``.
            indices: Place of each image in its data set, int64 ``(N,)``.
        """
        self._keep(
            torch.cat([self.values, maxima.T], 1),
            torch.cat([self.indices, indices.expand(len(self.indices), -1)], 1),
        )

    def add_up(self) -> None:
        """Take the images of all processes into account; once, after the last batch."""
        self._keep(stacked(self.values).movedim(0, 1).flatten(1), stacked(self.indices).movedim(0, 1).flatten(1))

    def _keep(self, values: Tensor, indices: Tensor) -> None:
        number = self.values.shape[1]
        order = indices.argsort(dim=1, stable=True)
        order = order.gather(1, values.gather(1, order).argsort(dim=1, descending=True, stable=True))[:, :number]
        self.values, self.indices = values.gather(1, order), indices.gather(1, order)
