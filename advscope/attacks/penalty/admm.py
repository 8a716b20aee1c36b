"""The alternating direction method of multipliers (ADMM) on the group lasso."""

import torch
from torch import Tensor

from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.groups import Groups
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.row_sums import spread


class AdmmSolver(Solver):
    r"""ADMM with copies of the perturbation: delta for the l2 norm, w for the box, y_g for each group, z for the loss.

    .. math::
        \delta &= \tfrac{\rho}{\rho + 2 \gamma} (z - u), \quad w = \mathrm{clip}(z - s), \quad
        y_g = \Big(1 - \tfrac{\tau}{\rho \|a_g\|_2}\Big)_+ a_g, \; a_g = z_g - v_g \\
        z &= \frac{\alpha \sqrt{k} z + \rho (\delta + u) + \rho (w + s) + \rho \sum_{g} (y_g + v_g) - c \nabla f}
            {\alpha \sqrt{k} + \rho (2 + n)}

    and then u += delta - z, s += w - z, v_g += y_g - z_g, where n is the number of groups that a value lies in. The
    points are the group-sparse images: a value is the mean of its copies if none of its groups is zero, else clean;
    clipped to the box. The loss is linearised at them.

    Args:
        box: The images and their bounds.
        steps: Steps of a run.
        groups: The groups.
        l2: Weight of the squared l2 norm, gamma.
        lasso: Weight of the groups' norms, tau.
        penalty: Weight of the copies' agreement, rho.
        damping: Weight of staying near the last z, alpha.
        published_weights: Whether the update of z counts delta twice, as the published code, although delta's own
            update does not.
    """

    def __init__(
        self,
        box: Box,
        steps: int,
        groups: Groups,
        l2: float,
        lasso: float,
        penalty: float,
        damping: float,
        published_weights: bool,
    ) -> None:
        self.groups = groups
        self.l2 = l2
        self.lasso = lasso
        self.penalty = penalty
        self.damping = damping
        self.twice = 2.0 if published_weights else 1.0
        self.counts = groups.counts(box.images)
        super().__init__(box, steps)

    def start(self) -> dict[str, Tensor]:
        """Return all copies and multipliers at zero."""
        zeros = torch.zeros_like(self.box.images)
        return {"z": zeros, "u": zeros, "s": zeros, "v": self.groups.copies(zeros)}

    def advance(self, slopes: Tensor, step: Tensor) -> None:
        """Update every copy once; see :meth:`Solver.advance`."""
        images, rho = self.box.images, self.penalty
        z, u, s, v = (self.state[name] for name in "zusv")
        delta = rho / (rho + 2 * self.l2) * (z - u)
        within = (z - s).clamp(self.box.lower - images, self.box.upper - images)
        copies = self.groups.copies(z) - v
        norms = self.groups.norms(copies)
        threshold = self.lasso / rho
        sparse = copies * torch.where(norms > threshold, 1 - threshold / norms, 0)
        damping = spread(self.damping * (step + 1).sqrt())
        pulls = rho * (self.twice * (delta + u) + within + s + self.groups.totals(sparse + v, z.shape))
        z = (damping * z + pulls + slopes) / (damping + rho * (self.twice + 1 + self.counts))
        self.state = {"z": z, "u": u + delta - z, "s": s + within - z, "v": v + sparse - self.groups.copies(z)}
        self.points = self.box.clip(images + self._joined(sparse, norms > threshold))

    def _joined(self, copies: Tensor, alive: Tensor) -> Tensor:
        """Return one perturbation of the groups' copies, zero where one of a value's groups is zero."""
        shape = self.box.images.shape
        means = self.groups.totals(copies, shape) / self.counts
        if not self.groups.overlap:
            return means
        lives = self.groups.totals(alive.to(copies).expand_as(copies).contiguous(), shape)
        return torch.where(lives >= self.counts - 0.5, means, 0)
