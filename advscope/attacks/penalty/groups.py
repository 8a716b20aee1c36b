"""Square groups of pixels, and the group lasso over them."""

import torch
from torch import Tensor
from torch.nn import functional

from advscope.attacks.penalty.size import Size
from advscope.attacks.row_sums import row_sums, spread


class Groups:
    """Windows of ``cell_size`` pixels, all channels, every ``stride`` pixels, the last ones clipped at the border.

    The windows are those of the promotion-suppression ratio. Every pixel lies in a group; with a stride below the cell
    size in several.

    Args:
        cell_size: Side of a group, in pixels.
        stride: Pixels from one group to the next, at most ``cell_size``.
    """

    def __init__(self, cell_size: int, stride: int) -> None:
        self.cell_size = cell_size
        self.stride = stride

    @property
    def overlap(self) -> bool:
        """Whether a pixel can lie in several groups."""
        return self.stride < self.cell_size

    def copies(self, values: Tensor) -> Tensor:
        """Return each group's own copy of its values, 0 beyond the border: ``(N, values of a group, groups)``."""
        bottom, right = (self._beyond(length) for length in values.shape[-2:])
        return functional.unfold(functional.pad(values, (0, right, 0, bottom)), self.cell_size, stride=self.stride)

    def totals(self, copies: Tensor, shape: torch.Size) -> Tensor:
        """Return the sum over the groups' copies of each value, ``(N, C, H, W)``: the adjoint of :meth:`copies`."""
        height, width = shape[-2:]
        padded = (height + self._beyond(height), width + self._beyond(width))
        return functional.fold(copies, padded, self.cell_size, stride=self.stride)[..., :height, :width]

    def counts(self, images: Tensor) -> Tensor:
        """Return in how many groups each value lies, ``(1, C, H, W)``."""
        ones = torch.ones_like(images[:1])
        return self.totals(self.copies(ones), ones.shape)

    def norms(self, copies: Tensor) -> Tensor:
        """Return the l2 norm of each group, ``(N, 1, groups)``."""
        count, _, groups = copies.shape
        return row_sums(copies.square().transpose(1, 2).flatten(0, 1)).sqrt().view(count, 1, groups)

    def _beyond(self, length: int) -> int:
        """Return by how many pixels the last group reaches beyond the border."""
        steps = -(-max(length - self.cell_size, 0) // self.stride)
        return steps * self.stride + self.cell_size - length


class GroupSize(Size):
    r"""The group lasso with a squared l2 norm, :math:`\gamma \|\delta\|_2^2 + \tau \sum_g \|\delta_g\|_2`.

    Args:
        groups: The groups.
        l2: Weight gamma of the squared norm, positive.
        lasso: Weight tau of the sum of the groups' norms, at least 0.
    """

    def __init__(self, groups: Groups, l2: float, lasso: float) -> None:
        self.groups = groups
        self.l2 = l2
        self.lasso = lasso

    def value(self, perturbations: Tensor) -> Tensor:
        """Return the weighted sum; see :meth:`Size.value`."""
        norms = self.groups.norms(self.groups.copies(perturbations))
        return self.l2 * row_sums(perturbations.square()) + self.lasso * row_sums(norms)

    def shrunk(self, slopes: Tensor, weights: Tensor, around: Tensor) -> Tensor:
        r"""Return the shrunk perturbation; see :meth:`Size.shrunk`.

        In closed form where the groups are apart. Where they overlap there is none: each norm is replaced by its
        quadratic bound :math:`\|\delta_g\|^2 / (2 r_g) + r_g / 2` with the norm r of ``around``, which is exact there.
        """
        curvatures = spread(2 * self.l2 + 2 * weights)
        if not self.groups.overlap:
            return self._apart(slopes) / curvatures
        norms = self.groups.norms(self.groups.copies(around))
        # A group that is zero stays zero: an infinite weight.
        inverses = (self.lasso / norms).expand(-1, self.groups.cell_size**2 * slopes.shape[1], -1)
        bounded = slopes / (curvatures + self.groups.totals(inverses.contiguous(), slopes.shape))
        # From no perturbation at all the bound leads nowhere: each group is then shrunk by itself.
        alone = self._apart(slopes) / self.groups.counts(slopes) / curvatures
        return torch.where(spread(around.flatten(1).any(1)), bounded, alone)

    def _apart(self, slopes: Tensor) -> Tensor:
        """Return the sum over the groups of each one's own soft threshold of the slopes, ``(N, C, H, W)``."""
        copies = self.groups.copies(slopes)
        norms = self.groups.norms(copies)
        kept = torch.where(norms > self.lasso, 1 - self.lasso / norms, 0)
        return self.groups.totals(copies * kept, slopes.shape)
