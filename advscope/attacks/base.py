"""The interface of all attacks, and the check of what they are given."""

from abc import ABC, abstractmethod
from typing import Any, final

import torch
from torch import Tensor, nn

from advscope.frozen import frozen


class Attack(ABC):
    """Turns clean images into adversarial ones.

    An attack is a value: it holds settings alone, no network, no device and no result. The result for an image depends
    on neither the other images of its batch nor their order, and its noise is a function of (seed, draw, restart,
    index). An attack works under ``torch.inference_mode()``, and leaves modes, ``requires_grad``, ``.grad``, hooks and
    the global random state of the network and the program as found.
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
        """Attack a batch.

        Args:
            network: Maps images in [0, 1] to logits ``(N, K)``; attacked in evaluation mode.
            images: Clean images in [0, 1], float ``(N, C, H, W)``.
            labels: Their classes, int64 ``(N,)``; -1 stands for the network's own prediction.
            targets: Classes to reach, int64 ``(N,)``, none of them the label; ``None`` for an untargeted attack.
            indices: Place of each image in its data set, int64 ``(N,)``: the key of its noise; ``None`` for 0 ... N-1.
            draw: Number of the draw of noise: the epoch in training, 0 in evaluation.

        Returns:
            Adversarial images in [0, 1], ``(N, C, H, W)``, detached, of the images' type and on their device.

        Raises:
            ValueError: If an argument is not as described; the message says what it was.
        """
        _check_images(images)
        count = len(images)
        indices = torch.arange(count, device=images.device) if indices is None else indices
        for name, numbers in (("labels", labels), ("targets", targets), ("indices", indices)):
            if numbers is not None and (numbers.dtype != torch.int64 or numbers.shape != (count,)):
                raise ValueError(f"{name} must be int64 ({count},), got {numbers.dtype} {tuple(numbers.shape)}")
        if not count:
            return images.clone()
        with frozen(network):
            # Autograd refuses tensors that were made in inference mode, but takes their clones.
            images, labels, indices = images.detach().clone(), labels.clone(), indices.clone()
            targets = None if targets is None else targets.clone()
            checked = _Checked(network, labels, targets)
            if (labels < 0).any():
                with torch.no_grad():
                    labels = torch.where(labels < 0, checked(images).argmax(1), labels)
            if targets is not None and (targets == labels).any():
                place = int((targets == labels).nonzero()[0])
                raise ValueError(
                    f"targets must differ from the labels, but image {place} has {int(labels[place])} for both"
                )
            return self.perturb(checked, images, labels, targets, indices, draw).detach().to(images.dtype)

    @abstractmethod
    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
    ) -> Tensor:
        """Return the adversarial images; the arguments are checked, the network is frozen, gradients are enabled."""

    def settings(self) -> dict[str, Any]:
        """Return the class and the settings as plain values."""
        return {"attack": type(self).__name__} | {name: _plain(value) for name, value in vars(self).items()}

    def __repr__(self) -> str:
        """Return the class and its settings."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        """Whether the other is of the same class and settings."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        """Return a hash of class and settings."""
        return hash(repr(self))


class _Checked(nn.Module):
    """A network whose first output is checked: logits of classes that the labels fit."""

    def __init__(self, network: nn.Module, labels: Tensor, targets: Tensor | None) -> None:
        super().__init__()
        self.network = network
        self._classes = {"labels": labels, "targets": targets}
        self._seen = False

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(images)
        if not self._seen:
            self._check(logits, len(images))
            self._seen = True
        return logits  # type: ignore[no-any-return]

    def _check(self, logits: Tensor, count: int) -> None:
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != count:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"network must return logits (N, K), got {shape} for {count} images")
        if logits.shape[1] < 2:
            raise ValueError(f"network must return logits of at least 2 classes, got {logits.shape[1]}")
        for name, numbers in self._classes.items():
            lowest = -1 if name == "labels" else 0
            if numbers is not None and not lowest <= int(numbers.min()) <= int(numbers.max()) < logits.shape[1]:
                raise ValueError(
                    f"{name} must be in {lowest} ... {logits.shape[1] - 1}, "
                    f"got {int(numbers.min())} ... {int(numbers.max())}"
                )
        values = logits.detach().float()
        if bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < 1e-5).all()):
            raise ValueError("network must return logits, got probabilities: remove the softmax at its end")


def _check_images(images: Tensor) -> None:
    """Refuse what are no images in [0, 1]."""
    if images.ndim != 4 or not images.is_floating_point():
        remedy = "" if images.is_floating_point() else ": convert with images.float() / 255"
        raise ValueError(f"images must be float (N, C, H, W), got {images.dtype} {tuple(images.shape)}{remedy}")
    if not images.numel():
        return
    lowest, highest = (float(value) for value in images.detach().aminmax())
    if not (lowest >= 0 and highest <= 1):
        raise ValueError(
            f"images must be in [0, 1], got {lowest:g} ... {highest:g}: the network normalises, not the data"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Attack):
        return value.settings()
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
