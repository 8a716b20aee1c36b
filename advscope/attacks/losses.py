"""What gradient attacks ascend: one number per image, larger the closer the image is to adversarial."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["cross_entropy", "margin", "dlr"]
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of the labels, or minus that of the targets, ``(N,)``.

    Example:
        >>> cross_entropy(torch.zeros(1, 2), torch.tensor([0]))  # log 2
        tensor([0.6931])
    """
    if targets is None:
        return functional.cross_entropy(logits, labels, reduction="none")
    return -functional.cross_entropy(logits, targets, reduction="none")


def margin(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Return the largest other logit minus the label's, or the target's minus the largest other one, ``(N,)``.

    Positive if and only if the image is adversarial; its gradient does not vanish where the network is confident.

    References:
        Carlini & Wagner, *Towards Evaluating the Robustness of Neural Networks*, S&P 2017,
        https://arxiv.org/abs/1608.04644, f6 of section IV-A.

    Example:
        >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
        tensor([-1.])
    """
    if targets is None:
        return _largest_other(logits, labels) - _logit(logits, labels)
    return _logit(logits, targets) - _largest_other(logits, targets)


def dlr(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Return the difference of logits ratio, ``(N,)``: a margin that no scale or shift of the logits changes.

    Untargeted it divides by the difference of the first and third largest logit, so it needs 3 classes; targeted by
    that of the first and the mean of the third and fourth, so it needs 4. Where that difference is 0, so is the loss.

    Raises:
        ValueError: If there are too few classes.

    References:
        Croce & Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks*, ICML 2020, https://arxiv.org/abs/2003.01690, Eq. (6) and (7).

    Example:
        >>> dlr(torch.tensor([[4.0, 3.0, 2.0]]), torch.tensor([0]))  # -(4 - 3) / (4 - 2)
        tensor([-0.5000])
    """
    needed = 3 if targets is None else 4
    if logits.shape[1] < needed:
        kind = "untargeted" if targets is None else "targeted"
        raise ValueError(f"the {kind} dlr loss needs at least {needed} classes, got {logits.shape[1]}: use loss='margin'")
    ordered = logits.sort(dim=1, descending=True).values
    if targets is None:
        above = -margin(logits, labels)
        below = ordered[:, 0] - ordered[:, 2]
    else:
        above = _logit(logits, labels) - _logit(logits, targets)
        below = ordered[:, 0] - 0.5 * (ordered[:, 2] + ordered[:, 3])
    return -above / below.clamp(min=torch.finfo(logits.dtype).tiny ** 0.5)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr}
"""Losses by name."""


def _logit(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]


def _largest_other(logits: Tensor, classes: Tensor) -> Tensor:
    # Minus infinity, not a large number: the result must not depend on how high or low the logits are.
    return logits.scatter(1, classes[:, None], -torch.inf).amax(1)
