"""How many units a layer has, before any image is there."""

import torch
from torch import nn

from advscope.frozen import MicroBatched, frozen
from advscope.layers import activations


def count_units(network: MicroBatched, layer: str, image_size: tuple[int, int]) -> int:
    """Return how many units a layer has, found out by one blank image.

    Raises:
        ValueError: If its output is not ``(N, K)`` or ``(N, K, h, w)``.
    """
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    channels = next((convolution.in_channels for convolution in convolutions), 3)
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    with frozen(network), torch.no_grad():
        output = activations(network.network, torch.zeros(1, channels, *image_size, device=device), [layer])[0][layer]
    if output.ndim not in (2, 4):
        raise ValueError(
            f"layer {layer} must return (N, K) or (N, K, h, w), got {tuple(output.shape)}; name another layer"
        )
    return output.shape[1]
