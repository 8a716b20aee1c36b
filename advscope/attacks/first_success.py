"""Several attacks in a row, each on the images that withstood the ones before."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack, succeeded
from advscope.attacks.losses import margin


class FirstSuccess(Attack):
    """Runs attacks in order and returns, for each image, what the first one that succeeds returns.

    An image on which the network errs already is returned as it is. Each attack meets the images alone that withstood
    those before it, so an ensemble such as AutoAttack's costs little more than its last survivors. Where none succeeds,
    the result of the highest margin (:func:`~advscope.attacks.losses.margin`) is returned. Whether a result depends on
    the batch is up to the attacks.

    Args:
        attacks: Attacks, the cheap ones first.

    Raises:
        ValueError: If there is none.

    References:
        Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks*, ICML 2020, https://arxiv.org/abs/2003.01690, section 6.
    """

    def __init__(self, attacks: Sequence[Attack]) -> None:
        if not attacks:
            raise ValueError("attacks must hold at least one attack, got none")
        self.attacks = tuple(attacks)

    def perturb(
        self, network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None, indices: Tensor, draw: int
    ) -> Tensor:
        """Return the first success of each image; see :meth:`Attack.perturb`."""
        results = images.clone()
        highest = torch.full((len(images),), -torch.inf, dtype=torch.float64, device=images.device)
        with torch.no_grad():
            remaining = (~succeeded(network(images), labels, targets)).nonzero().flatten()
        for attack in self.attacks:
            if len(remaining) == 0:
                break
            aims = None if targets is None else targets[remaining]
            found = attack(network, images[remaining], labels[remaining], aims, indices[remaining], draw)
            with torch.no_grad():
                logits = network(found)
            successes = succeeded(logits, labels[remaining], aims)
            margins = margin(logits, labels[remaining], aims).double()
            better = successes | (margins > highest[remaining])
            results[remaining[better]] = found[better]
            highest[remaining[better]] = margins[better]
            remaining = remaining[~successes]
        return results
