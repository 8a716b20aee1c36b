"""What walks an image towards the least penalised perturbation, one row per image."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from advscope.attacks.penalty.box import Box


class Solver(ABC):
    """A descent on c * hinge + g, from the clean images; every row walks by itself.

    The network is asked at :attr:`points` alone, once per step: they are the images that may be returned, and those at
    which the hinge is linearised.

    Args:
        box: The images and their bounds.
        steps: Steps of a run, for schedules.
    """

    def __init__(self, box: Box, steps: int) -> None:
        self.box = box
        self.steps = steps
        self.points = box.images
        self.state = self.start()

    @abstractmethod
    def start(self) -> dict[str, Tensor]:
        """Return the variables of every row as they are before the first step, ``(N, ...)`` each."""

    @abstractmethod
    def advance(self, slopes: Tensor, step: Tensor) -> None:
        """Take one step: change the state, and with it the points, which stay in the box.

        Args:
            slopes: Constant times the gradient of the margin at the points where the hinge is active, else 0,
                ``(N, C, H, W)``.
            step: Steps that each row has taken, float ``(N,)``.
        """

    def restart(self, rows: Tensor) -> None:
        """Put some rows back to where they started, bool ``(N,)``."""
        if rows.any():
            fresh = self.start()
            self.state = {name: _where(rows, fresh[name], values) for name, values in self.state.items()}
            self.points = _where(rows, self.box.images, self.points)

    def keep(self, rows: Tensor) -> None:
        """Let the other rows go."""
        self.box = self.box.rows(rows)
        self.points = self.points[rows]
        self.state = {name: values[rows] for name, values in self.state.items()}


def _where(rows: Tensor, chosen: Tensor, others: Tensor) -> Tensor:
    """Return rows of one tensor or the other."""
    return torch.where(rows.view(-1, *[1] * (others.ndim - 1)), chosen, others)
