"""The fast iterative shrinkage-thresholding algorithm (FISTA)."""

import torch
from torch import Tensor

from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.row_sums import spread


class FistaSolver(Solver):
    r"""FISTA on the elastic net, with steps that shrink as :math:`\sqrt{1 - k / K}` and momentum k / (k + 3).

    .. math::
        x^{k+1} = S(y^k - \alpha_k \nabla (c f(y^k) + \|y^k - x_0\|_2^2)), \qquad
        y^{k+1} = x^{k+1} + \frac{k}{k + 3} (x^{k+1} - x^k)

    with S the soft threshold around the clean image, clipped to the box. The points are the y, clipped, without
    momentum where x has come back to the clean value: they are as sparse as the x.

    Args:
        box: The images and their bounds.
        steps: Steps of a run, K.
        learning_rate: alpha_0.
        l1: Weight of the l1 norm, beta.
        whole_shrinkage: Whether to shrink by beta, as the published code, rather than by alpha_k times beta.
    """

    def __init__(self, box: Box, steps: int, learning_rate: float, l1: float, whole_shrinkage: bool) -> None:
        self.learning_rate = learning_rate
        self.l1 = l1
        self.whole_shrinkage = whole_shrinkage
        super().__init__(box, steps)

    def start(self) -> dict[str, Tensor]:
        """Return x at the clean images."""
        return {"shrunk": self.box.images}

    def advance(self, slopes: Tensor, step: Tensor) -> None:
        """Take a step; see :meth:`Solver.advance`."""
        images = self.box.images
        rate = self.learning_rate * (1 - step / self.steps).sqrt()
        moved = self.points - images - spread(rate) * (2 * (self.points - images) - slopes)
        threshold = spread(torch.full_like(rate, self.l1) if self.whole_shrinkage else rate * self.l1)
        change = moved - moved.maximum(-threshold).minimum(threshold)
        shrunk = torch.where(change == 0, images, self.box.clip(images + change))
        momentum = spread(step / (step + 3))
        ahead = self.box.clip(shrunk + momentum * (shrunk - self.state["shrunk"]))
        self.points = torch.where(change == 0, images, ahead)
        self.state["shrunk"] = shrunk
