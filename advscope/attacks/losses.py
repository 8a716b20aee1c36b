"""What an attack ascends: one number per image, larger the closer the network is to the wished mistake.

All are invariant to adding a constant to an image's logits, and are computed in float32 at least.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

LossName = Literal["cross_entropy", "margin", "dlr"]


def cross_entropy(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    r"""Return the cross-entropy of the label; with targets, minus that of the target.

    .. math::
        -\log \mathrm{softmax}(z)_y \quad\text{or}\quad \log \mathrm{softmax}(z)_t

    Its gradient vanishes where the network is sure of itself (gradient masking); the margin's does not.

    Args:
        logits: Logits, ``(N, K)``.
        labels: Classes y, int64 ``(N,)``.
        targets: Classes t to reach, int64 ``(N,)``, or ``None``.

    Returns:
        Losses, ``(N,)``: in [0, inf) without targets, in (-inf, 0] with them.

    Example:
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([0]))
        tensor([1.3863])
    """
    logits = _wide(logits)
    if targets is None:
        return nn.functional.cross_entropy(logits, labels, reduction="none")
    return -nn.functional.cross_entropy(logits, targets, reduction="none")


def margin(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    r"""Return by how much the best other class beats the label; with targets, the target the best other class.

    .. math::
        \max_{j \neq y} z_j - z_y \quad\text{or}\quad z_t - \max_{j \neq t} z_j

    Args:
        logits: Logits, ``(N, K)``.
        labels: Classes y, int64 ``(N,)``.
        targets: Classes t to reach, int64 ``(N,)``, or ``None``.

    Returns:
        Losses in logits, ``(N,)``: positive exactly where the attack has succeeded (zero: a tie).

    References:
        Carlini and Wagner, *Towards Evaluating the Robustness of Neural Networks*, S&P 2017,
        https://arxiv.org/abs/1608.04644, f_6 with the sign turned.

    Example:
        >>> margin(torch.tensor([[1.0, 4.0, 2.0]]), torch.tensor([0]), torch.tensor([2]))
        tensor([-2.])
    """
    logits = _wide(logits)
    if targets is None:
        return _best_other(logits, labels) - _of(logits, labels)
    return _of(logits, targets) - _best_other(logits, targets)


def dlr(logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    r"""Return the difference of logits ratio, invariant to the logits' scale as well.

    .. math::
        -\frac{z_y - \max_{j \neq y} z_j}{z_{\pi_1} - z_{\pi_3}} \quad\text{or}\quad
        -\frac{z_y - z_t}{z_{\pi_1} - (z_{\pi_3} + z_{\pi_4}) / 2}

    where :math:`\pi` sorts the logits, the largest first; 1e-12 is added to the denominator.

    Args:
        logits: Logits, ``(N, K)``; K is at least 3, with targets at least 4.
        labels: Classes y, int64 ``(N,)``.
        targets: Classes t to reach, int64 ``(N,)``, or ``None``.

    Returns:
        Losses, ``(N,)``; in [-1, 1] without targets.

    Raises:
        ValueError: If there are fewer classes.

    References:
        Croce and Hein, *Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
        attacks*, ICML 2020, https://arxiv.org/abs/2003.01690, Eqs. (6) and (7).

    Example:
        >>> dlr(torch.tensor([[4.0, 1.0, 2.0]]), torch.tensor([0]))  # -(4 - 2) / (4 - 1)
        tensor([-0.6667])
    """
    needed = 3 if targets is None else 4
    if logits.shape[1] < needed:
        kind = "untargeted" if targets is None else "targeted"
        raise ValueError(f"the {kind} dlr loss needs {needed} classes, got {logits.shape[1]}: use loss='margin'")
    logits = _wide(logits)
    top = logits.topk(needed, dim=1).values
    if targets is None:
        return (_best_other(logits, labels) - _of(logits, labels)) / (top[:, 0] - top[:, 2] + 1e-12)
    return (_of(logits, targets) - _of(logits, labels)) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}
"""The losses by name: (logits, labels, targets) -> one number per image."""


def _wide(logits: Tensor) -> Tensor:
    """Return half-precision logits in float32, others as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _of(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the logit of one class per image."""
    return logits.gather(1, classes[:, None])[:, 0]


def _best_other(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the largest logit of all classes but one per image."""
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return others.max(1).values
