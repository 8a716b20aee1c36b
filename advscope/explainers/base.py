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

    Works under ``torch.inference_mode()``, and leaves the network's modes, gradients and hooks as found.
    """

    def __call__(self, network: nn.Module, images: Tensor, classes: Tensor, *, create_graph: bool = False) -> Tensor:
        """Return the heatmap of one class for each image.

        Args:
            network: Maps images to logits; run in evaluation mode.
            images: In [0, 1], ``(N, C, H, W)``.
            classes: Class to explain, for each image, int64 ``(N,)``.
            create_graph: Whether the heatmaps are differentiable with respect to ``images``.

        Returns:
            Raw maps, before any ReLU or scaling, upsampled bilinearly (``align_corners=False``), ``(N, H, W)``.

        Raises:
            ValueError: If a shape or type is wrong, or the network does not suit the explainer.
        """
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(f"images must be float (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
        if classes.dtype != torch.int64 or classes.shape != images.shape[:1]:
            raise ValueError(
                f"classes must be int64 ({len(images)},), got {classes.dtype} {tuple(classes.shape)}: one for each"
            )
        if len(images) == 0:
            return images.new_zeros(0, *images.shape[-2:])
        with frozen(network):
            # An inference tensor cannot enter a graph; a copy made here can.
            images, classes = (given.clone() if given.is_inference() else given for given in (images, classes))
            maps = self.maps(network, images, classes, create_graph)
            size = (images.shape[-2], images.shape[-1])
            maps = functional.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        return maps if create_graph else maps.detach()

    @abstractmethod
    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps at the size of the layer, ``(N, h, w)``; the network is frozen, the input is checked."""


def check_classes(classes: Tensor, count: int) -> None:
    """Check that classes are among the network's.

    Raises:
        ValueError: If one is not.
    """
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < count:
        raise ValueError(f"classes must be in 0 ... {count - 1}, got {int(classes.min())} ... {int(classes.max())}")
