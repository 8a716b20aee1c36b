"""Target classes for targeted attacks in an evaluation."""

from typing import Literal

import torch
from torch import Tensor

from advscope.counter_hash import hash32

Rule = Literal["random", "second", "least_likely"]


def choose_targets(rule: Rule | int, logits: Tensor, labels: Tensor, indices: Tensor, seed: int = 0) -> Tensor:
    """Return a target class for each image; by a rule never its label, while a given class can be.

    Args:
        rule: ``"random"``: any other class, each as likely, a function of the seed and of the image's place in the data
            set; ``"second"``: the other class of highest logit; ``"least_likely"``: of lowest logit; or the number of a
            class, the same for every image.
        logits: Logits of the clean images, ``(N, K)``.
        labels: Their classes, ``(N,)``.
        indices: Their places in the data set, ``(N,)``.
        seed: Of ``"random"`` targets; any whole number.

    Returns:
        Classes, int64 ``(N,)``.

    Raises:
        ValueError: If the rule is unknown, or the class none of the network's.
    """
    if isinstance(rule, int):
        if not 0 <= rule < logits.shape[1]:
            raise ValueError(f"the target must be a class of the network, 0 ... {logits.shape[1] - 1}, got {rule}")
        return torch.full_like(labels, rule)
    others = logits.clone()
    if rule == "second":
        return others.scatter_(1, labels[:, None], -torch.inf).argmax(1)
    if rule == "least_likely":
        return others.scatter_(1, labels[:, None], torch.inf).argmin(1)
    if rule == "random":
        classes = logits.shape[1]
        return (labels + 1 + hash32(0x7A26 + seed, indices) % (classes - 1)) % classes
    raise ValueError(f"rule must be 'random', 'second', 'least_likely' or the number of a class, got {rule!r}")
