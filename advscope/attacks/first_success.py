"""Several attacks in a row, each on the images that withstood the ones before."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advscope.attacks.base import MARGIN_TOLERANCE, Attack, succeeded
from advscope.attacks.losses import margin


class FirstSuccess(Attack):
    """Runs attacks in order and returns, for each image, what the first one that succeeds returns.

    Success is a margin of at least ``confidence``, the smallest confidence among the attacks (0 for most of them: then
    the prediction decides). An image on which the network errs so already is returned as it is. Each attack meets the
    images alone that withstood those before it, so an ensemble such as AutoAttack's costs little more than its last
    survivors. Where none succeeds, the result of the highest margin (:func:`~advscope.attacks.losses.margin`) is
    returned. Whether a result depends on the batch is up to the attacks.

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
        self.confidence = min(attack.confidence for attack in self.attacks)

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
        """Return the first success of each image; see :meth:`Attack.perturb`."""
        results = images.clone()
        # A success at exactly the confidence may be seen a rounding below it here.
        confidence = max(0.0, self.confidence - MARGIN_TOLERANCE)
        highest = torch.full((len(images),), -torch.inf, dtype=torch.float64, device=images.device)
        with torch.no_grad():
            remaining = (~succeeded(network(images), labels, targets, confidence)).nonzero().flatten()
        for attack in self.attacks:
            if len(remaining) == 0:
                break
            aims = None if targets is None else targets[remaining]
            part = None if mask is None else mask[remaining]
            found = attack(network, images[remaining], labels[remaining], aims, indices[remaining], draw, part)
            with torch.no_grad():
                logits = network(found)
            successes = succeeded(logits, labels[remaining], aims, confidence)
            margins = margin(logits, labels[remaining], aims).double()
            better = successes | (margins > highest[remaining])
            results[remaining[better]] = found[better]
            highest[remaining[better]] = margins[better]
            remaining = remaining[~successes]
        return results
