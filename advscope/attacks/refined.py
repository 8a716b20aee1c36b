"""An attack once more, held to the region where its first result does its work."""

import copy
from typing import Self

import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack
from advscope.attacks.checks import check_mask, unchecked
from advscope.region import Region


class Refined(Attack):
    r"""Runs an attack, asks a region about its result, and runs the same attack again inside that region alone.

    .. math:: \min_\delta f(x_0 + \delta, t) + \lambda g(\delta) \quad\text{s.t.}\quad \delta_i = 0,\ i \notin S

    beside the attack's own constraints. The constraint is held inside the optimisation (see the ``mask`` of
    :meth:`Attack.__call__`), not cut out of a result. The second run has the settings, targets and randomness of the
    first and knows nothing else of it.

    **An image whose region is empty comes back clean**, and so counts as failed (unless the network errs on it anyway):
    no perturbation is held to nothing. So does one that the first run did not move, for regions of its perturbation.
    A mask given by the caller holds both runs, and the region is taken within it. Regions nest:
    ``Refined(Refined(attack, first), second)`` holds the second region's run to the first region.

    A region is a threshold on what the network computes: on :class:`~advscope.frozen.MicroBatched` networks it does not
    depend on the batch; on others only where no value lies within the network's rounding of its threshold.

    Args:
        attack: Any attack.
        region: Names the pixels, such as :class:`~advscope.measures.SignificantCells` (S1 of the paper) and
            :class:`~advscope.measures.SalientPixels` (S2).

    Raises:
        ValueError: If an argument is no attack or region; when called, if the region returns no mask.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        Eq. (11). https://arxiv.org/abs/1904.02057
    """

    def __init__(self, attack: Attack, region: Region) -> None:
        if not isinstance(attack, Attack):
            raise ValueError(f"attack must be an attack, such as PGD(), got {attack!r}")
        if not isinstance(region, Region):
            raise ValueError(f"region must be a region, such as SignificantCells(4), got {region!r}")
        self.attack = attack
        self.region = region
        self.confidence = attack.confidence
        self._first: Tensor | None = None

    def after(self, first: Tensor) -> Self:
        """Return this attack for one call on images whose first result is known, which saves the first run.

        Args:
            first: What :attr:`attack` returned for the very images, labels, targets, indices, draw and mask of the
                call, ``(N, C, H, W)``.
        """
        known = copy.copy(self)
        known._first = first
        return known

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
        """Return what the second run makes of the images; see :meth:`Attack.perturb`."""
        first = self._first
        if first is None:
            first = self.attack(network, images, labels, targets, indices, draw, mask)
        reached = targets
        if reached is None:
            with torch.no_grad():
                reached = network(first).argmax(1)
        # Layers have the names, and heads the places, that they have in the caller's network.
        region = self.region(unchecked(network), images, first, labels, reached)
        check_mask(region, images, f"the region {self.region!r} must return")
        region = region if mask is None else region & mask
        rows = region.flatten(1).any(1).nonzero().flatten()
        results = images.clone()
        if len(rows):
            aims = None if targets is None else targets[rows]
            results[rows] = self.attack(network, images[rows], labels[rows], aims, indices[rows], draw, region[rows])
        return results
