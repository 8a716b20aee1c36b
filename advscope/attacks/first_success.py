"""Several attacks in a row, each on the images that withstood the ones before."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack


class FirstSuccess(Attack):
    """Runs attacks in order and returns, for each image, what the first one that succeeds returns.

    Each attack meets the images alone that withstood those before it, so an ensemble such as AutoAttack's costs little
    more than its last survivors. Where none succeeds, the last attack's images are returned.

    Args:
        attacks: Attacks, the cheap ones first.

    Raises:
        ValueError: If there is none.

    References:
        Croce & Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks*, ICML 2020, https://arxiv.org/abs/2003.01690.
    """

    def __init__(self, attacks: Sequence[Attack]) -> None:
        if not attacks:
            raise ValueError("attacks must hold at least one attack, got none")
        self.attacks = tuple(attacks)

    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
    ) -> Tensor:
        """Return the first success of each image."""
        adversarials = images.clone()
        left = torch.arange(len(images), device=images.device)
        for attack in self.attacks:
            if not len(left):
                break
            aims = None if targets is None else targets[left]
            adversarials[left] = attack(network, images[left], labels[left], aims, indices[left], draw)
            with torch.no_grad():
                predictions = network(adversarials[left]).argmax(1)
            succeeded = predictions != labels[left] if aims is None else predictions == aims
            left = left[~succeeded]
        return adversarials
