"""The search that the attacks share: over the constant c, step by step, each image at its own pace."""

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from advscope.attacks.penalty.best import Best
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.constants import Constants
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.penalty.linear_step import linear_step
from advscope.attacks.penalty.polish import polish
from advscope.attacks.penalty.size import Size
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.row_sums import row_sums, spread

CHECKS = 10
"""Times in a run that an image is asked whether it still improves."""

IMPROVEMENT = 1e-4
"""Share by which the least objective between two checks has to be below that before, or the run ends."""

NEAREST = 1e-3
"""l2 norm of the perturbation that the first constant is made for at least."""

LEAST, MOST = 1e-12, 1e12
"""Bounds of a first constant."""


class Search:
    """Minimises c * hinge + size for every image, with a constant c, a schedule and an end of its own.

    An image goes through runs of a solver, each from the clean image with the next constant; a run ends after ``steps``
    steps, or when the objective stalls in their second half. The image leaves the batch after its last run: the cost
    follows the images that still need work, and what is found for one does not depend on the others.

    Args:
        hinge: What the network says of the images.
        box: The images and their bounds.
        size: What is kept small.
        worth: By what successes are compared, the least being the best, ``(N,)`` of perturbations.
        solver: Makes the solver of a box.
        steps: Most steps of a run, at least 1.
        runs: Runs of an image (binary search steps), at least 1.
        polish_steps: Steps of the last stretch from the best image.
        initial_constant: Constant of the first run; ``None`` for the multiplier that the network linearised at the
            clean image would have.
        abort_early: Whether a run ends when it stalls.
        name: What the progress bar says.
    """

    def __init__(
        self,
        hinge: Hinge,
        box: Box,
        size: Size,
        worth: Callable[[Tensor], Tensor],
        solver: Callable[[Box], Solver],
        steps: int,
        runs: int,
        polish_steps: int,
        initial_constant: float | None,
        abort_early: bool,
        name: str,
    ) -> None:
        self.hinge = hinge
        self.box = box
        self.size = size
        self.worth = worth
        self.make_solver = solver
        self.steps = steps
        self.runs = runs
        self.polish_steps = polish_steps
        self.initial_constant = initial_constant
        self.abort_early = abort_early
        self.name = name

    def run(self) -> Tensor:
        """Return the smallest success of each image, else the image of the last step, ``(N, C, H, W)``."""
        results = self.box.images.clone()
        standing = self.hinge.at(results)
        # Nothing is smaller than no perturbation: where it suffices, nothing is searched.
        rows = (~standing.reached).nonzero().flatten()
        if not len(rows):
            return results
        hinge, box = self.hinge.rows(rows), self.box.rows(rows)
        constants = Constants(self._first_constants(box, standing.lacking[rows], standing.gradients[rows]))
        with tqdm(total=len(rows) * self.runs, desc=self.name, unit="run", delay=5, disable=None, leave=False) as bar:
            best, points = self._walk(hinge, box, constants, bar)
        if self.polish_steps:
            start = torch.where(spread(best.worths.isfinite()), best.images, points)
            points = polish(hinge, box, start, self.size, self.worth, best, self.polish_steps)
        results[rows] = torch.where(spread(best.worths.isfinite()), best.images, points)
        return results

    def _walk(self, hinge: Hinge, box: Box, constants: Constants, bar: "tqdm[None]") -> tuple[Best, Tensor]:
        """Return the best and the last images of all runs."""
        results, lasts = Best(box.images), box.images.clone()
        solver, best = self.make_solver(box), Best(box.images)
        places = torch.arange(len(box.images), device=box.images.device)
        zeros = torch.zeros_like(best.worths)
        step, run, lowest, checked = zeros, zeros, zeros + torch.inf, zeros + torch.inf
        reached = torch.zeros_like(best.worths, dtype=torch.bool)
        window = max(self.steps // CHECKS, 1)
        while len(places):
            standing = hinge.at(solver.points)
            perturbations = solver.points - solver.box.images
            sizes = self.size.value(perturbations)
            best.update(solver.points, self.worth(perturbations), standing.reached)
            reached = reached | standing.reached
            objective = sizes + constants.current * standing.lacking.clamp(min=0)
            # The clean image does not count: the first steps may well rise above it.
            lowest = torch.where(step == 0, torch.inf, lowest.minimum(objective))
            # A tie that goes to the label lacks nothing in logits, and is a failure.
            active = torch.where(standing.reached, 0, constants.current)
            solver.advance(spread(active) * standing.gradients, step)
            step = step + 1
            ended = step >= self.steps
            if self.abort_early:
                due = step % window == 0
                late = step >= self.steps / 2
                ended = ended | (due & late & (lowest > (1 - IMPROVEMENT) * checked))
                checked, lowest = torch.where(due, lowest, checked), torch.where(due, torch.inf, lowest)
            if not ended.any():
                continue
            constants.update(ended, reached)
            run = run + ended
            bar.update(int(ended.sum()))
            step, reached = torch.where(ended, 0, step), reached & ~ended
            lowest, checked = (torch.where(ended, torch.inf, values) for values in (lowest, checked))
            done = run >= self.runs
            if done.any():
                results.images[places[done]], results.worths[places[done]] = best.images[done], best.worths[done]
                lasts[places[done]] = solver.points[done]
                rest = (~done).nonzero().flatten()
                places, step, run, lowest, checked, reached, ended = (
                    values[rest] for values in (places, step, run, lowest, checked, reached, ended)
                )
                hinge = hinge.rows(rest)
                for part in (solver, best, constants):
                    part.keep(rest)
            solver.restart(ended)
        return results, lasts

    def _first_constants(self, box: Box, lacking: Tensor, gradients: Tensor) -> Tensor:
        """Return the constants of the first runs, ``(N,)``."""
        if self.initial_constant is not None:
            return torch.full_like(lacking, self.initial_constant)
        nothing, weights = torch.zeros_like(box.images), torch.zeros_like(lacking)
        # On the boundary itself the multiplier is none at all.
        lacking = lacking.maximum(NEAREST * row_sums(gradients.square()).sqrt())
        moved, multipliers = linear_step(self.size, box, nothing, gradients, lacking, weights)
        # Where the linearised network cannot be fooled in the box, the largest multiplier says nothing about a network
        # that is not linear: there it is taken as if the values had no bounds.
        room = box.upper > box.lower
        lower, upper = (torch.where(room, bound, box.images) for bound in (-torch.inf, torch.inf))
        _, unbounded = linear_step(self.size, Box(box.images, lower, upper), nothing, gradients, lacking, weights)
        multipliers = torch.where(row_sums(gradients * moved) < 0.999 * lacking, unbounded, multipliers)
        return multipliers.clamp(LEAST, MOST)
