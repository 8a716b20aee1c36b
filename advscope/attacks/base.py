"""What every attack is: a value that maps (network, images, labels) to adversarial images."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from advscope.attacks.checks import CheckedNetwork, check_images, check_integers, check_mask
from advscope.attacks.losses import margin
from advscope.frozen import frozen
from advscope.value import Value

MARGIN_TOLERANCE = 1e-4
"""Logits by which a margin that is looked at a second time may miss the confidence: rounding, not failure."""


class Attack(Value, ABC):
    """An attack: settings only, equal to any other of the same class and settings.

    Calling it holds the network still (evaluation mode, parameters without gradients), works under
    :func:`torch.inference_mode`, and leaves modes, ``requires_grad``, ``.grad``, hooks and the global random state as
    found. What it returns for an image does not depend on the batch around it (where a subclass breaks this promise,
    it says so): to 1e-6 in float64, and bit by bit in float32 on :class:`~advscope.frozen.MicroBatched` networks.

    A subclass keeps each argument of its ``__init__`` in an attribute of the same name, and defines :meth:`perturb`.
    """

    confidence: float = 0.0
    """Margin in logits that a success has to reach (kappa), at least 0; 0 where an attack has no such setting."""

    @final
    def __call__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        indices: Tensor | None = None,
        draw: int = 0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return adversarial images.

        Args:
            network: Maps images in [0, 1] to logits ``(N, K)``; normalises by itself.
            images: Clean images, floating point in [0, 1], ``(N, C, H, W)``.
            labels: Classes to get away from, int64 ``(N,)``; -1 stands for the network's own prediction, which
                costs a forward pass of such images.
            targets: Classes to reach, int64 ``(N,)``, each another than the label; ``None``: any class but the label.
            indices: Place of each image in its data set, int64 ``(N,)``, the key of its randomness; ``None``: 0 to
                N - 1.
            draw: Which draw of the randomness: the epoch in training, 0 in evaluation.
            mask: True where pixels may change, in all channels, bool ``(N, 1, H, W)``; ``None``: everywhere. The attack
                searches inside and spends its budget there; it does not search everywhere and cut afterwards.

        Returns:
            Images in [0, 1], of the shape, type, device and memory format of ``images``, detached; bit for bit the
            clean ones where the mask is false.

        Raises:
            ValueError: If an argument is not as said here, or the network does not return logits.
        """
        if not isinstance(network, nn.Module):
            raise ValueError(f"network must be a torch.nn.Module, got a {type(network).__name__}: wrap it in one")
        check_images(images)
        count = len(images)
        if isinstance(draw, bool) or not isinstance(draw, int):
            raise ValueError(f"draw must be a whole number, got {draw!r}")
        if indices is None:
            indices = torch.arange(count, device=images.device)
        for name, values in (("labels", labels), ("targets", targets), ("indices", indices)):
            if values is not None:
                check_integers(name, values, count)
        if mask is not None:
            check_mask(mask, images)
        if count == 0:
            return images.detach().clone()
        for name, classes, lowest in (("labels", labels, -1), ("targets", targets, 0)):
            if classes is not None and int(classes.min()) < lowest:
                raise ValueError(f"{name} must be at least {lowest}, got {int(classes.min())}")

        with frozen(network):
            # Copies made here are ordinary tensors, even if the caller's were made in inference mode.
            images = images.detach().clone()
            labels, indices = labels.to(images.device).clone(), indices.to(images.device).clone()
            known = {"labels": labels}
            if targets is not None:
                known["targets"] = targets = targets.to(images.device).clone()
            checked = CheckedNetwork(network, known).eval()
            missing = labels < 0
            if missing.any():
                with torch.no_grad():
                    labels[missing] = checked(images[missing]).argmax(1)
            if targets is not None and (targets == labels).any():
                place = int((targets == labels).nonzero()[0])
                remedy = "choose another target, or leave targets out"
                raise ValueError(f"targets must differ from labels, got {int(labels[place])} twice: {remedy}")
            mask = None if mask is None else mask.to(images.device).clone()
            adversarials = self.perturb(checked, images, labels, targets, indices, draw, mask)
            if mask is not None:
                # Written into a tensor of the images' memory format, which torch.where need not keep.
                adversarials = torch.empty_like(images).copy_(torch.where(mask, adversarials.detach(), images))
        return adversarials.detach()

    @abstractmethod
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
        """Return adversarial images for arguments that :meth:`__call__` has checked.

        The network is held still, gradients are enabled, ``images`` are a copy that may be returned but not changed,
        and ``labels`` hold no -1. Gradients are taken by :func:`torch.autograd.grad` towards images alone.

        Args:
            network: Maps images to logits.
            images: Clean images, ``(N, C, H, W)`` with N >= 1.
            labels: Classes, ``(N,)``.
            targets: Classes to reach, ``(N,)``, or ``None``.
            indices: Keys of the randomness, ``(N,)``.
            draw: Which draw of the randomness.
            mask: Where pixels may change, bool ``(N, 1, H, W)``, or ``None`` for everywhere. Gradients, random starts,
                norms and projections are to be taken inside; what is returned outside is put back by the caller.

        Returns:
            Images in [0, 1], shaped as ``images``.
        """


def succeeded(logits: Tensor, labels: Tensor, targets: Tensor | None, confidence: float = 0.0) -> Tensor:
    """Return whether the prediction is the target or, without targets, is not the label: bool ``(N,)``.

    With a positive confidence the margin (:func:`~advscope.attacks.losses.margin`) must reach it besides.

    Args:
        logits: Logits, ``(N, K)``.
        labels: Classes, ``(N,)``.
        targets: Classes to reach, ``(N,)``, or ``None``.
        confidence: Least margin in logits (kappa), at least 0; at 0 the prediction alone decides, a tie as argmax does.

    Example:
        >>> logits = torch.tensor([[1.0, 3.0], [3.0, 1.0]])
        >>> succeeded(logits, torch.tensor([0, 0]), None)
        tensor([ True, False])
        >>> succeeded(logits, torch.tensor([0, 0]), None, confidence=2.5)
        tensor([False, False])
    """
    predictions = logits.argmax(1)
    wished = predictions != labels if targets is None else predictions == targets
    return wished & (margin(logits, labels, targets) >= confidence) if confidence > 0 else wished
