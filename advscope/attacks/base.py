"""What every attack is: a value that maps (network, images, labels) to adversarial images."""

import inspect
import json
from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor, nn

from advscope.attacks.checks import CheckedNetwork, check_images, check_integers
from advscope.frozen import frozen


class Attack(ABC):
    """An attack: settings only, equal to any other of the same class and settings.

    Calling it holds the network still (evaluation mode, parameters without gradients), works under
    :func:`torch.inference_mode`, and leaves modes, ``requires_grad``, ``.grad``, hooks and the global random state as
    found. What it returns for an image does not depend on the batch around it (where a subclass breaks this promise,
    it says so): to 1e-6 in float64, and bit by bit in float32 on :class:`~advscope.frozen.MicroBatched` networks.

    A subclass keeps each argument of its ``__init__`` in an attribute of the same name, and defines :meth:`perturb`.
    """

    @final
    def __call__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        indices: Tensor | None = None,
        draw: int = 0,
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

        Returns:
            Images in [0, 1], of the shape, type, device and memory format of ``images``, detached.

        Raises:
            ValueError: If an argument is not as said here, or the network does not return logits.
        """
        check_images(images)
        count = len(images)
        if isinstance(draw, bool) or not isinstance(draw, int):
            raise ValueError(f"draw must be a whole number, got {draw!r}")
        if indices is None:
            indices = torch.arange(count, device=images.device)
        for name, values in (("labels", labels), ("targets", targets), ("indices", indices)):
            if values is not None:
                check_integers(name, values, count)
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
            adversarials = self.perturb(checked, images, labels, targets, indices, draw)
        return adversarials.detach()

    @abstractmethod
    def perturb(
        self, network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor | None, indices: Tensor, draw: int
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

        Returns:
            Images in [0, 1], shaped as ``images``.
        """

    def settings(self) -> dict[str, Any]:
        """Return the settings as JSON can hold them, the class among them, in the order of ``__init__``."""
        names = [name for name, kind in _parameters(type(self)).items() if kind.kind is not kind.VAR_KEYWORD]
        return {"class": type(self).__name__} | {name: _plain(getattr(self, name)) for name in names}

    def __repr__(self) -> str:
        """Return the class and its settings."""
        settings = self.settings()
        name = settings.pop("class")
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"

    def __eq__(self, other: object) -> bool:
        """Whether the other is of the same class and settings."""
        return type(self) is type(other) and isinstance(other, Attack) and self.settings() == other.settings()

    def __hash__(self) -> int:
        """Return a hash of class and settings."""
        return hash((type(self), json.dumps(self.settings(), sort_keys=True)))


def _plain(value: Any) -> Any:
    """Return a setting as JSON can hold it: attacks within by their settings, tuples as lists."""
    if isinstance(value, Attack):
        return value.settings()
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _parameters(kind: type[Attack]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class by name."""
    return dict(inspect.signature(kind).parameters)


def succeeded(logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """Return whether the prediction is the target or, without targets, is not the label: bool ``(N,)``.

    Args:
        logits: Logits, ``(N, K)``.
        labels: Classes, ``(N,)``.
        targets: Classes to reach, ``(N,)``, or ``None``.

    Example:
        >>> succeeded(torch.tensor([[1.0, 3.0], [3.0, 1.0]]), torch.tensor([0, 0]), None)
        tensor([ True, False])
    """
    predictions = logits.argmax(1)
    return predictions != labels if targets is None else predictions == targets
