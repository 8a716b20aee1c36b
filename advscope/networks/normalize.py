"""The first layer of a network: from images in [0, 1] to what its convolutions were trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    r"""Subtracts a mean and divides by a standard deviation, channel by channel: :math:`(x_c - \mu_c) / \sigma_c`.

    Both are settings and not weights: they stay out of the ``state_dict``, so that published weights fit.

    Args:
        mean: One number per channel, in image units.
        std: One positive number per channel, in image units. The default is the standard deviation over all pixels of
            CIFAR-10's training images; (0.2023, 0.1994, 0.2010), often seen, is a mean of per-image ones.

    Raises:
        ValueError: If the lengths differ or are zero, or a ``std`` is not positive.

    Example:
        >>> Normalize(mean=[0.5], std=[0.25])(torch.tensor([[[[0.0, 1.0]]]]))
        tensor([[[[-2.,  2.]]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = CIFAR10_MEAN, std: Sequence[float] = CIFAR10_STD) -> None:
        super().__init__()
        if len(mean) != len(std) or not len(mean):
            raise ValueError(f"mean and std need one number per channel each, got {len(mean)} and {len(std)}")
        if not all(value > 0 for value in std):
            raise ValueError(f"std must be positive, got {list(std)}")
        self.register_buffer("mean", torch.tensor([float(value) for value in mean]).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([float(value) for value in std]).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images, ``(N, C, H, W)``."""
        return (images - self.mean) / self.std

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


class PerImageStandardize(nn.Module):
    r"""Gives each image mean 0 and standard deviation 1 over all of its :math:`n` values.

    .. math::
        \frac{v - \bar v}{\max(s, 1 / \sqrt{n})}, \qquad v = \text{scale} \cdot x

    Gradients go through mean and standard deviation. A constant image becomes 0, and its gradient is finite.

    Args:
        scale: What 1.0 in an image stands for. The floor :math:`1 / \sqrt{n}` is not free of units: it belongs to
            pixel values from 0 to 255, which the original is given. With 1 it applies to images in [0, 1].

    Raises:
        ValueError: If ``scale`` is not positive.

    References:
        TensorFlow, ``tf.image.per_image_standardization``,
        https://www.tensorflow.org/api_docs/python/tf/image/per_image_standardization

    Example:
        >>> PerImageStandardize()(torch.tensor([[[[0.0, 1.0]]]]))
        tensor([[[[-1.,  1.]]]])
    """

    def __init__(self, scale: float = 255.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ValueError(f"scale must be positive, got {scale}")
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Return the standardised images, ``(N, C, H, W)``."""
        count = images.shape[1] * images.shape[2] * images.shape[3]
        centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        # The floor goes under the root: the root's own gradient at 0 would be infinite.
        return centred / variance.clamp(min=1 / (self.scale**2 * count)).sqrt()

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"scale={self.scale:g}"
