"""What all explainers share: their call, its checks, and the upsampling to image size."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from advscope.frozen import frozen
from advscope.value import Value


class Explainer(Value, ABC):
    """A way to make a heatmap of where in an image a network finds a class; holds settings only.

    A subclass keeps each argument of its ``__init__`` in an attribute of the same name, and defines :meth:`maps`.

    Works under ``torch.inference_mode()``, and leaves the network's modes, gradients, hooks and the global random state
    as found.
    """

    def __call__(self, network: nn.Module, images: Tensor, classes: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return the heatmap of one class for each image, or of several classes from one forward pass.

        Args:
            network: Maps images to logits; run in evaluation mode.
            images: In [0, 1], ``(N, C, H, W)``.
            classes: Class to explain, for each image, int64 ``(N,)``; or M classes for each, ``(N, M)``.
            create_graph: Whether the heatmaps are differentiable with respect to ``images``.

        Returns:
            Raw maps, before any ReLU or scaling, upsampled bilinearly (``align_corners=False``) where they are smaller
            than the images: ``(N, H, W)``, or ``(N, M, H, W)``.

        Raises:
            ValueError: If a shape or type is wrong, or the network does not suit the explainer.
        """
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(f"images must be float (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
        count, (height, width) = len(images), images.shape[-2:]
        if classes.dtype != torch.int64 or classes.ndim not in (1, 2) or len(classes) != count:
            raise ValueError(
                f"classes must be int64 ({count},), got {classes.dtype} {tuple(classes.shape)}: one for each image, or "
                f"({count}, M) for M of each"
            )
        if count == 0 or classes.numel() == 0:
            return images.new_zeros(*classes.shape, height, width)
        with frozen(network):
            # An inference tensor cannot enter a graph; a copy made here can.
            images, classes = (given.clone() if given.is_inference() else given for given in (images, classes))
            # One memory format, since rounding follows from it; this one is also the faster.
            images = images.contiguous(memory_format=torch.channels_last)
            maps = self.maps(network, images, classes.view(count, -1), create_graph)
            if maps.shape[-2:] != (height, width):
                flat = maps.flatten(0, 1)[:, None]
                maps = functional.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False)
            maps = maps.view(*classes.shape, height, width)
        return maps if create_graph else maps.detach()

    def check(self, network: nn.Module) -> None:
        """Check what can be checked of the settings without an image.

        Raises:
            ValueError: If the network does not suit them.
        """

    @abstractmethod
    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps of classes ``(N, M)`` at the size of the layer, ``(N, M, h, w)``.

        The network is frozen, the input is checked; whether the classes are among the network's is not.
        """


def check_classes(classes: Tensor, count: int) -> None:
    """Check that classes are among the network's.

    Raises:
        ValueError: If one is not.
    """
    if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < count:
        raise ValueError(f"classes must be in 0 ... {count - 1}, got {int(classes.min())} ... {int(classes.max())}")
