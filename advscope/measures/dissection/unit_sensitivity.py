"""How many pixels of units' masks an attack flips."""

import torch
from torch import Tensor

from advscope.intervals import Estimate, mean
from advscope.measures.dissection.image_groups import GROUPS, group_of
from advscope.processes import summed

_UNIT = 2.0**32
"""Roots are added up in steps of 2**-32: whole numbers add up to the same sum in any order."""


class UnitSensitivity:
    r"""The sensitivity of every unit: the mean over images of the root of its flipped pixels.

    .. math:: v(k) = \mathbb{E}_{(x, x')} \|M_k(x) - M_k(x')\|_2

    Sums are whole numbers, so that neither order nor batches nor processes change a bit. The squares of the roots are
    the numbers of flipped pixels themselves.

    Args:
        units: K.
        device: Where the masks are.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (8). https://arxiv.org/abs/1904.02057
    """

    def __init__(self, units: int, device: torch.device | str = "cpu") -> None:
        self.roots = torch.zeros(GROUPS, units, dtype=torch.int64, device=device)
        self.flips = torch.zeros(units, dtype=torch.int64, device=device)
        self.images = torch.zeros(GROUPS, dtype=torch.int64, device=device)

    def count(self, flips: Tensor, indices: Tensor) -> None:
        """Count images.

        Args:
            flips: Numbers of flipped pixels, int64 ``(N, K)``.
            indices: Place of each image in its data set, int64 ``(N,)``.
        """
        groups = group_of(indices)
        self.roots.index_add_(0, groups, (flips.double().sqrt() * _UNIT).round().long())
        self.flips += flips.sum(0)
        self.images.index_add_(0, groups, torch.ones_like(groups))

    def add_up(self) -> None:
        """Add up the counts of all processes; once, after the last batch."""
        self.roots, self.flips, self.images = summed(self.roots), summed(self.flips), summed(self.images)

    def values(self, without: int | None = None) -> Tensor:
        """Return each unit's v(k), in roots of pixels, float64 ``(K,)``; ``nan`` where no image counts.

        Args:
            without: Number of a group of images to leave out.
        """
        kept = [group for group in range(GROUPS) if group != without]
        return self.roots[kept].sum(0).double() / _UNIT / self.images[kept].sum()

    def estimates(self) -> list[Estimate]:
        """Return each unit's v(k) +- 1.96 s / sqrt(n), in roots of pixels; ``nan`` where no image counts."""
        count = int(self.images.sum())
        totals = (self.roots.sum(0).double() / _UNIT).tolist()
        return [mean(total, float(flips), count) for total, flips in zip(totals, self.flips.tolist(), strict=True)]
