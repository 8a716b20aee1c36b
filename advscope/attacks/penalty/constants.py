"""The search for the constant c that weighs success against size, for each image by itself."""

import torch
from torch import Tensor

FACTOR = 10.0
"""By what a constant grows while no bound from above is known, and shrinks while none from below is."""


class Constants:
    """A bracket around the least constant with which the attack succeeds, one per image.

    A success lowers the upper bound, a failure raises the lower one; the next constant is their geometric mean, since
    constants span orders of magnitude, or ten times more or less where one bound is missing.

    Args:
        first: First constants, positive, ``(N,)``.
    """

    def __init__(self, first: Tensor) -> None:
        self.current = first
        self.lower = torch.zeros_like(first)
        self.upper = torch.full_like(first, torch.inf)

    def update(self, rows: Tensor, reached: Tensor) -> None:
        """Choose the next constants.

        Args:
            rows: Which images' search step has ended, bool ``(N,)``.
            reached: Whether the attack succeeded in it, bool ``(N,)``.
        """
        self.upper = torch.where(rows & reached, self.upper.minimum(self.current), self.upper)
        self.lower = torch.where(rows & ~reached, self.lower.maximum(self.current), self.lower)
        between = self.lower.sqrt() * self.upper.sqrt()
        outside = torch.where(self.upper.isinf(), self.lower * FACTOR, self.upper / FACTOR)
        following = torch.where(self.upper.isinf() | (self.lower == 0), outside, between)
        self.current = torch.where(rows, following, self.current)

    def keep(self, rows: Tensor) -> None:
        """Let the other images go."""
        self.current, self.lower, self.upper = self.current[rows], self.lower[rows], self.upper[rows]
