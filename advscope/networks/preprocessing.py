"""What images a published network was made for: their size, and how they are scaled and normalised."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from advscope.networks.normalize import IMAGENET_MEAN, IMAGENET_STD


class Preprocessing(NamedTuple):
    """How an image file becomes an input in evaluation: the short side scaled, the centre cropped, then normalised.

    The network normalises by itself; mean and std are told for records.
    """

    size: int
    """Side of the images that the network sees, in pixels."""
    resize: int
    """Short side to which an image is scaled before its centre is taken, in pixels; at least ``size``."""
    interpolation: str
    """How images are scaled: ``bilinear`` or ``bicubic``, with antialiasing."""
    mean: tuple[float, ...]
    """Mean of each channel, in image units."""
    std: tuple[float, ...]
    """Standard deviation of each channel, in image units."""


_UNSTATED = Preprocessing(224, 256, "bilinear", IMAGENET_MEAN, IMAGENET_STD)


def torchvision_preprocessing(preset: Any) -> Preprocessing:
    """Return what the transforms of torchvision's weights do, ImageNet's usual way where they do not say.

    Args:
        preset: The transforms of an entry of a ``WeightsEnum``.
    """
    return Preprocessing(
        size=_one(getattr(preset, "crop_size", _UNSTATED.size)),
        resize=_one(getattr(preset, "resize_size", _UNSTATED.resize)),
        interpolation=str(getattr(getattr(preset, "interpolation", None), "value", _UNSTATED.interpolation)),
        mean=tuple(getattr(preset, "mean", None) or _UNSTATED.mean),
        std=tuple(getattr(preset, "std", None) or _UNSTATED.std),
    )


def timm_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """Return what timm states for a network's evaluation, ImageNet's usual way where it states nothing.

    The size of evaluation goes before that of training (``test_input_size`` before ``input_size``), with its share of
    the crop (``test_crop_pct`` before ``crop_pct``); the short side is that share's, rounded down as timm does it.

    Args:
        config: The ``pretrained_cfg`` of a network.
    """
    size = _one((config.get("test_input_size") or config.get("input_size") or (3, _UNSTATED.size))[1:])
    share = config.get("test_crop_pct") or config.get("crop_pct") or 0.875
    return Preprocessing(
        size=size,
        resize=math.floor(size / share),
        interpolation=str(config.get("interpolation") or "bicubic"),
        mean=tuple(config.get("mean") or _UNSTATED.mean),
        std=tuple(config.get("std") or _UNSTATED.std),
    )


def _one(size: Any) -> int:
    """Return the one side of a size given as a number or a sequence; the shorter side of two."""
    return int(size) if isinstance(size, int | float) else min(int(side) for side in size)
