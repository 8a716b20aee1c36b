"""The feature maps that a network's linear head averages, with the head's weight, from one pass."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from advscope.head import Head, feature_maps, find_head, is_linear
from advscope.layers import find_layer, inner

# What was found, by network and shape of its images: finding costs a forward pass with hooks on every layer.
_FOUND: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], Head]] = WeakKeyDictionary()


class HeadMaps(NamedTuple):
    """A linear head with what went into it and came out, for ``N`` images."""

    weight: Tensor
    """Of the linear layer, ``(K, C)``."""
    features: Tensor
    """Last feature maps, ``(N, C, h, w)``."""
    logits: Tensor
    """``(N, K)``: the weight times the average of the features, and the bias."""


def head_maps(network: nn.Module, images: Tensor) -> HeadMaps:
    """Find a network's head and run the network once: the head's weight, last feature maps and logits.

    A head that was found before is used again if it still explains the logits of this very call: the linear layer on
    the average of the maps must give them. A network that was changed in between is looked at anew.

    Args:
        network: In evaluation mode, micro-batched or not.
        images: Images in [0, 1], ``(N, C, H, W)``, N >= 1.

    Returns:
        Weight ``(K, C)``, maps ``(N, C, h, w)`` and logits ``(N, K)``.

    Raises:
        ValueError: As :func:`find_head`.
    """
    known = _FOUND.setdefault(inner(network), {})
    shape = tuple(images.shape[1:])
    if shape in known:
        found = _still_there(network, images, known[shape])
        if found is not None:
            return found
    head = find_head(network, images)
    linear = find_layer(network, head.linear)
    assert is_linear(linear)  # find_head names no other
    features, logits = feature_maps(network, images, head)
    known[shape] = head
    return HeadMaps(linear.weight.flatten(1), features, logits)


def _still_there(network: nn.Module, images: Tensor, head: Head) -> HeadMaps | None:
    """Return what a known head gives, None where it does not explain the logits."""
    modules = dict(inner(network).named_modules())
    linear = modules.get(head.linear)
    if head.layer not in modules or linear is None or not is_linear(linear):
        return None
    try:
        features, logits = feature_maps(network, images, head)
    except ValueError:  # the layer does not run any more, or several times
        return None
    weight = linear.weight.flatten(1)
    if features.ndim != 4 or features.shape[1] != weight.shape[1] or logits.shape[1:] != weight.shape[:1]:
        return None
    with torch.no_grad():
        explained = functional.linear(features.mean((2, 3)), weight, linear.bias)
        tolerance = torch.finfo(logits.dtype).eps ** 0.75 * float(logits.abs().max())
        close = bool((explained - logits).abs().max() <= tolerance)
    return HeadMaps(weight, features, logits) if close else None
