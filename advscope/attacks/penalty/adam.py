"""Adam on the pixels, or on a variable whose hyperbolic tangent they are."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.row_sums import spread

VariableName = Literal["box", "tanh"]

DECAY = 0.1
"""Share of the learning rate that is left at the last step."""

MARGIN = 0.01
"""By how much, in half ranges, the tangent reaches beyond the box, so that a value at a bound can still move."""


class AdamSolver(Solver):
    """Adam with a learning rate that decays geometrically to a tenth.

    Args:
        box: The images and their bounds.
        steps: Steps of a run.
        learning_rate: Learning rate of the first step.
        variable: ``"box"``: the pixels, clipped after each step; ``"tanh"``: w with x = middle + half range * tanh(w),
            scaled a little beyond the bounds and clipped.
        gradient: Gradient of the size with respect to the perturbation, ``(N, C, H, W)`` both.
    """

    def __init__(
        self,
        box: Box,
        steps: int,
        learning_rate: float,
        variable: VariableName,
        gradient: Callable[[Tensor], Tensor],
    ) -> None:
        self.learning_rate = learning_rate
        self.variable = variable
        self.gradient = gradient
        self.schedule = adam_schedule(box.images, steps, learning_rate)
        super().__init__(box, steps)

    def start(self) -> dict[str, Tensor]:
        """Return the first and second moments at zero, and w and its tangent at the clean images."""
        zeros = torch.zeros_like(self.box.images)
        state = {"first": zeros, "second": zeros}
        if self.variable == "tanh":
            middle, half = self._scale()
            shares = (self.box.images - middle) / torch.where(half > 0, half, 1)
            # Not atanh, whose rounding depends on the place in the batch.
            state["variable"] = ((1 + shares) / (1 - shares)).log() / 2
            state["tangent"] = state["variable"].tanh()
        return state

    def advance(self, slopes: Tensor, step: Tensor) -> None:
        """Take a step of Adam; see :meth:`Solver.advance`."""
        gradients = self.gradient(self.points - self.box.images) - slopes
        if self.variable == "tanh":
            _, half = self._scale()
            gradients = gradients * half * (1 - self.state["variable"].tanh().square())
        move = adam_move(self.state, gradients, self.schedule[:, step.long()])
        if self.variable == "box":
            self.points = self.box.clip(self.points - move)
        else:
            self.state["variable"] = self.state["variable"] - move
            # By differences: where w has not moved the image is the clean one, not nearly so. Adam, which has no scale,
            # would make full steps of the difference.
            self.points = self.box.clip(
                self.box.images + half * (self.state["variable"].tanh() - self.state["tangent"])
            )

    def _scale(self) -> tuple[Tensor, Tensor]:
        """Return the middle and, a little enlarged, half the range of each value's bounds."""
        middle, half = (self.box.upper + self.box.lower) / 2, (self.box.upper - self.box.lower) / 2
        return middle, half * (1 + MARGIN)


def adam_schedule(images: Tensor, steps: int, learning_rate: float = 1.0) -> Tensor:
    """Return each step's learning rate over the first moment's correction, and the second's correction, ``(2, steps)``.

    Looked up rather than computed: the rounding of a tensor's powers depends on the place in the batch.
    """
    rates = [learning_rate * DECAY ** (step / steps) / (1 - 0.9 ** (step + 1)) for step in range(steps)]
    corrections = [1 - 0.999 ** (step + 1) for step in range(steps)]
    return torch.tensor([rates, corrections], dtype=images.dtype, device=images.device)


def adam_move(state: dict[str, Tensor], gradients: Tensor, schedule: Tensor) -> Tensor:
    """Return what Adam subtracts, ``(N, C, H, W)``, and bring its moments up to date in place.

    Args:
        state: Moments ``first`` and ``second``, ``(N, C, H, W)`` each; zeros before the first step.
        gradients: Of what is minimised, ``(N, C, H, W)``.
        schedule: Columns of :func:`adam_schedule` for the step that each row is at, ``(2, N)``.
    """
    state["first"] = 0.9 * state["first"] + 0.1 * gradients
    state["second"] = 0.999 * state["second"] + 0.001 * gradients.square()
    rates, corrections = schedule.unbind()
    scale = (state["second"] / spread(corrections)).sqrt()
    # Adam's small number would set a scale of its own: without one, zero over zero is no move.
    return spread(rates) * torch.where(scale > 0, state["first"] / scale, 0)
