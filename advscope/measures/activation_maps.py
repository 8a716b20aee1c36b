"""The activation maps of a network's layers: what is active where, over all channels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advscope.frozen import frozen
from advscope.layers import activations, blocks

FIRST = 20
"""Blocks whose maps are taken where no layers are named: "the first 20 layers" of the paper's section 5."""


def activation_maps(network: nn.Module, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Return the mean over the channels of each layer's output, from one pass.

    Of each output only the mean is kept, so that memory does not grow with the channels. The network is left as found.

    Args:
        network: Any network; run in evaluation mode.
        images: Images, floating point ``(N, C, H, W)``.
        layers: Names of submodules; ``None`` for the first 20 blocks (:func:`~advscope.layers.blocks`).

    Returns:
        Layer name to map, float32 ``(N, h, w)`` at the layer's own resolution, in the order of ``layers``; a layer
        whose output is not ``(N, K, h, w)`` has none. ``nan`` where a channel is.

    Raises:
        ValueError: If ``images`` are of another shape, a layer is unknown, runs several times (or never) in one pass or
            does not return a tensor, or there is none.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        figures 9 and A9, which show activation maps without saying how channels are joined.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images must be float (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    names = blocks(network)[:FIRST] if layers is None else list(layers)
    if not names:
        raise ValueError(f"{type(network).__name__} has no blocks to show, or layers is empty: name layers")
    with frozen(network), torch.no_grad():
        found, _ = activations(network, images, names, of=_mean)
    return {name: found[name] for name in names if found[name].ndim == 3}


def _mean(output: Tensor) -> Tensor:
    """Return the mean over channels; of an output without places nothing but its number of rows."""
    if output.ndim != 4:
        return output.new_zeros(len(output) if output.ndim else 1)
    return output.mean(1, dtype=torch.float64).float()
