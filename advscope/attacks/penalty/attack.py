"""What the attacks on the shared search have in common: their settings and their call."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.penalty.search import Search
from advscope.attacks.penalty.size import Size
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.settings import nonnegative, positive, whole


class PenaltyAttack(Attack):
    r"""Finds the perturbation of least size g with which the network is fooled, with a margin of kappa.

    .. math::
        \min_\delta \; c \, \max\{\kappa - m(x_0 + \delta), 0\} + g(\delta)
        \quad\text{s.t.}\quad
        x_0 + \delta \in [0, 1]^n, \; \|\delta\|_\infty \le \epsilon, \; \delta_i = 0 \; (i \notin S)

    with the margin m of :func:`~advscope.attacks.losses.margin`; Eqs. (9) to (11) of Xu et al. 2019,
    https://arxiv.org/abs/1904.02057. A subclass says what g is and what walks.

    Args:
        steps: Most steps of a run.
        binary_search_steps: Runs, each from the clean image with the next c.
        confidence: kappa, in logits.
        initial_constant: c of the first run, or ``None`` for that of the linearised network.
        abort_early: Whether a run ends once its objective, in the second half of the steps, has not improved by 0.01%
            within a tenth of them.
        polish_steps: Steps along the decision boundary from the best image; 0 for the published algorithm.
        eps: Largest change of a value, or ``None``.
    """

    def __init__(
        self,
        steps: int,
        binary_search_steps: int,
        confidence: float,
        initial_constant: float | None,
        abort_early: bool,
        polish_steps: int,
        eps: float | None = None,
    ) -> None:
        self.steps = whole("steps", steps, 1)
        self.binary_search_steps = whole("binary_search_steps", binary_search_steps, 1)
        self.confidence = nonnegative("confidence", confidence)
        self.initial_constant = None if initial_constant is None else positive("initial_constant", initial_constant)
        if not isinstance(abort_early, bool):
            raise ValueError(f"abort_early must be true or false, got {abort_early!r}")
        self.abort_early = abort_early
        self.polish_steps = whole("polish_steps", polish_steps, 0)
        self.eps = None if eps is None else positive("eps", eps)

    @abstractmethod
    def size(self) -> Size:
        """Return what is kept small."""

    def worth(self, perturbations: Tensor) -> Tensor:
        """Return by what successes are compared, the least being the best, ``(N,)``: the size, by default."""
        return self.size().value(perturbations)

    @abstractmethod
    def solver(self, box: Box) -> Solver:
        """Return what walks."""

    def check(self, images: Tensor) -> None:
        """Raise a ``ValueError`` if the settings do not suit the images; there is nothing to check by default."""

    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
        mask: Tensor | None,
    ) -> Tensor:
        """Return the smallest successes, else the last images; see :meth:`Attack.perturb`."""
        self.check(images)
        # Constants and counts of steps are out of the range of 16 bits: there the network alone works in them.
        wide = images.to(torch.promote_types(images.dtype, torch.float32))
        hinge = Hinge(network, labels, targets, self.confidence, images.dtype)
        return self.minimise(hinge, Box.around(wide, self.eps, mask)).to(images.dtype)

    def minimise(self, hinge: Hinge, box: Box) -> Tensor:
        """Return the best successes in a box, else the last images, ``(N, C, H, W)``."""
        search = Search(
            hinge,
            box,
            self.size(),
            self.worth,
            self.solver,
            self.steps,
            self.binary_search_steps,
            self.polish_steps,
            self.initial_constant,
            self.abort_early,
            type(self).__name__,
        )
        return search.run()
