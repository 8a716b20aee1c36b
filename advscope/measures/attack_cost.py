"""What attacks cost: passes through the network, per image."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from advscope.intervals import Estimate
from advscope.measures.base import Tally


class AttackCost(Tally):
    """Mean number of passes that an attack took per image, forward and backward.

    Over all images that were handed to the attack, also those on which it failed or that the network got wrong anyway.
    A pass is an image, not a batch; padding does not count (:class:`~advscope.frozen.MicroBatched`). Unlike seconds,
    passes are the same on any machine, and for attacks that treat each image by itself the same for any batch size,
    order and number of processes, bit by bit.

    ============================ =================================================
    Key                          Mean number of
    ============================ =================================================
    ``{attack}/forward_passes``  forward passes of an image, at least 0
    ``{attack}/backward_passes`` backward passes of an image, at least 0
    ============================ =================================================

    The network counts the passes of a batch, not of an image: their spread is not known, and **the intervals are nan**.

    Args:
        attacks: Names of the attacks.

    Raises:
        ValueError: If a name appears twice.

    Example:
        >>> cost = AttackCost(["pgd"])
        >>> cost.update("pgd", images=3, forwards=60, backwards=57)
        >>> {key: (estimate.value, estimate.n) for key, estimate in cost.compute().items()}
        {'pgd/forward_passes': (20.0, 3), 'pgd/backward_passes': (19.0, 3)}
    """

    passes: Tensor

    def __init__(self, attacks: Sequence[str] = ()) -> None:
        super().__init__()
        self.attacks = tuple(attacks)
        if len(set(self.attacks)) < len(self.attacks):
            raise ValueError(f"attacks must have different names, got {list(self.attacks)}")
        # Images, forward and backward passes of each attack.
        self.add_state("passes", torch.zeros(len(self.attacks), 3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, attack: str, images: int, forwards: int, backwards: int) -> None:
        """Add what an attack took for a batch.

        Args:
            attack: Its name.
            images: Images in the batch.
            forwards: Images that went forward meanwhile, each as often as it did.
            backwards: Images that gradients went back to meanwhile, likewise.

        Raises:
            ValueError: If the attack is unknown, or a number is negative.
        """
        if attack not in self.attacks:
            raise ValueError(f"the cost must be of one of the attacks {list(self.attacks)}, got {attack!r}")
        numbers = {"images": images, "forwards": forwards, "backwards": backwards}
        for name, number in numbers.items():
            if number < 0:
                raise ValueError(f"{name} must be at least 0, got {number}")
        added = torch.zeros_like(self.passes)
        added[self.attacks.index(attack)] = torch.tensor(list(numbers.values()), device=added.device)
        self.passes = self.passes + added

    def compute(self) -> dict[str, Estimate]:
        """Return each attack's means, without an interval; ``nan`` where it met no image."""
        estimates = {}
        for attack, (images, forwards, backwards) in zip(self.attacks, self.passes.tolist(), strict=True):
            for name, number in (("forward_passes", forwards), ("backward_passes", backwards)):
                value = number / images if images else math.nan
                estimates[f"{attack}/{name}"] = Estimate(value, math.nan, math.nan, images)
        return estimates
