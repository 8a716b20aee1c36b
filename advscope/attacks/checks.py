"""What an attack refuses to start with: each problem in one line, before it can spoil a result."""

import torch
from torch import Tensor, nn


def check_images(images: Tensor) -> None:
    """Raise unless the images are floating point, ``(N, C, H, W)`` and in [0, 1].

    Raises:
        ValueError: If they are not, or some value is nan.
    """
    if not isinstance(images, Tensor):
        raise ValueError(f"images must be a tensor (N, C, H, W), got a {type(images).__name__}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point in [0, 1], got {images.dtype}: convert (uint8: divide by 255)")
    if images.ndim != 4:
        raise ValueError(f"images must be (N, C, H, W), got shape {tuple(images.shape)}")
    if images.numel():
        lowest, highest = (value.item() for value in images.aminmax())
        if lowest != lowest or highest != highest:
            raise ValueError("images must be in [0, 1], got nan: check how they are loaded")
        if lowest < 0 or highest > 1:
            remedy = "leave normalisation to the network's first layer"
            raise ValueError(f"images must be in [0, 1], got values in [{lowest:.6g}, {highest:.6g}]: {remedy}")


def check_integers(name: str, values: Tensor, count: int) -> None:
    """Raise unless the values are int64 of shape ``(count,)``.

    Args:
        name: What they are, for the message.
        values: One whole number per image.
        count: Images, N.

    Raises:
        ValueError: If the type or the shape is another one.
    """
    if not isinstance(values, Tensor):
        raise ValueError(f"{name} must be an int64 tensor of shape ({count},), got a {type(values).__name__}")
    if values.dtype != torch.int64 or values.shape != (count,):
        given = f"{values.dtype} of shape {tuple(values.shape)}"
        raise ValueError(f"{name} must be int64 of shape ({count},), one per image, got {given}")


def check_mask(mask: Tensor, images: Tensor, rule: str = "mask must be") -> None:
    """Raise unless the mask is bool with one channel, ``(N, 1, H, W)``, for images ``(N, C, H, W)``.

    Args:
        mask: True where pixels may change.
        images: What it is for.
        rule: Beginning of the message.

    Raises:
        ValueError: If the type or the shape is another one.
    """
    wanted = (len(images), 1, *images.shape[-2:])
    if not isinstance(mask, Tensor):
        raise ValueError(f"{rule} a bool tensor of shape {wanted}, got a {type(mask).__name__}")
    if mask.dtype != torch.bool or mask.shape != wanted:
        given = f"{mask.dtype} of shape {tuple(mask.shape)}"
        raise ValueError(f"{rule} torch.bool of shape {wanted}, true where pixels may change, got {given}")


class CheckedNetwork(nn.Module):
    """A network whose first output is checked: logits ``(N, K)`` that know every class in use.

    Args:
        network: Maps images to logits.
        classes: Class numbers in use, by what they are called (``{"labels": ..., "targets": ...}``).
    """

    def __init__(self, network: nn.Module, classes: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        self.highest = {name: int(values.max()) for name, values in classes.items() if len(values)}
        self.checked = False

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` images, ``(N, K)``.

        Raises:
            ValueError: If the first output is no logits, or a class in use is not among them.
        """
        logits: Tensor = self.network(images)
        if not self.checked:
            self._check(logits, len(images))
            self.checked = True
        return logits

    def _check(self, logits: Tensor, count: int) -> None:
        wanted = f"the network must return logits of shape ({count}, K) with K >= 2"
        # Inception in training mode and Hugging Face models return tuples.
        if not isinstance(logits, Tensor):
            raise ValueError(f"{wanted}, got a {type(logits).__name__}: wrap it so that it returns the logits alone")
        if logits.ndim != 2 or len(logits) != count or logits.shape[1] < 2:
            raise ValueError(f"{wanted}, got shape {tuple(logits.shape)}")
        values = logits.detach().double()
        if values.isnan().any():
            raise ValueError("the network returned nan logits: check its weights and its running statistics")
        # Each of K probabilities is rounded to the type that they come in.
        rounding = max(1e-5, logits.shape[1] * torch.finfo(logits.dtype).eps)
        if (values >= 0).all() and ((values.sum(1) - 1).abs() <= rounding).all():
            raise ValueError("the network must return logits, got probabilities: take the softmax off its end")
        for name, highest in self.highest.items():
            if highest >= logits.shape[1]:
                raise ValueError(f"{name} must be in 0 ... {logits.shape[1] - 1}, the network's classes, got {highest}")


def unchecked(network: nn.Module) -> nn.Module:
    """Return the caller's own network, out of every :class:`CheckedNetwork` around it."""
    while isinstance(network, CheckedNetwork):
        network = network.network
    return network
