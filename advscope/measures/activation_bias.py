"""Layerwise activation bias: how far an adversarial image moves the activations of each layer."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.frozen import frozen
from advscope.layers import activations, blocks
from advscope.measures.base import ImageMeans, check_pair


class LayerBias(NamedTuple):
    """The bias of one layer for ``N`` image pairs; float64 ``(N,)`` each."""

    raw: Tensor
    """Euclidean distance between the activations, at least 0; grows with the layer's size and scale."""
    relative: Tensor
    """The distance over the norm of the clean activation, at least 0; ``nan`` where that norm is 0."""


def activation_bias(
    network: nn.Module,
    images: Tensor,
    adversarials: Tensor,
    layers: Sequence[str] | None = None,
    *,
    chunk_size: int = 64,
) -> dict[str, LayerBias]:
    r"""Return the distance between the activations of clean and adversarial images, layer by layer.

    .. math:: b_l = \|a_l(x') - a_l(x)\|_2, \qquad b_l / \|a_l(x)\|_2

    One pass over the clean and one over the adversarial images, whatever the number of layers. Squares are summed in
    float64. The network is left as found, its hooks are removed in any case.

    Args:
        network: Any network; run in evaluation mode.
        images: Clean images in [0, 1], ``(N, C, H, W)``.
        adversarials: Adversarial images, of the same shape.
        layers: Names of submodules; ``None`` for every block (:func:`~advscope.layers.blocks`).
        chunk_size: Images in one call of the network; bounds the memory that activations take.

    Returns:
        Layer name to raw and relative bias, in the order of ``layers``. A layer whose output is changed in place
        afterwards (a BatchNorm before ``ReLU(inplace=True)``) is measured after the change.

    Raises:
        ValueError: If a shape or type is wrong, a layer unknown, or there is none.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        figure A8. https://arxiv.org/abs/1904.02057
    """
    check_pair(images, adversarials)
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    names = blocks(network) if layers is None else list(layers)
    if not names:
        raise ValueError(f"{type(network).__name__} has no blocks to measure, or layers is empty: name layers")
    parts: dict[str, list[LayerBias]] = {name: [] for name in names}
    with frozen(network), torch.no_grad():
        for clean_chunk, adversarial_chunk in zip(
            images.split(chunk_size), adversarials.split(chunk_size), strict=True
        ):
            clean, _ = activations(network, clean_chunk, names)
            moved, _ = activations(network, adversarial_chunk, names)
            for name in names:
                # Popped, so that a layer's memory is free as soon as it is measured.
                before, after = clean.pop(name), moved.pop(name)
                raw, norm = _norm(after - before), _norm(before)
                parts[name].append(LayerBias(raw, (raw / norm).masked_fill(norm == 0, torch.nan)))
    return {name: LayerBias(*(torch.cat(column) for column in zip(*part, strict=True))) for name, part in parts.items()}


class ActivationBias(ImageMeans):
    """The mean bias of each layer.

    Quantities: ``{layer}/raw`` and ``{layer}/relative``.

    Args:
        layers: Names of the layers.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__(self.names_of(layers))

    @staticmethod
    def names_of(layers: Sequence[str]) -> list[str]:
        """Return the names of the quantities for some layers."""
        return [f"{layer}/{field}" for layer in layers for field in LayerBias._fields]

    @staticmethod
    def columns(biases: dict[str, LayerBias]) -> dict[str, Tensor]:
        """Return the quantities of every image, ``(N,)`` each, by name; ``nan`` where undefined."""
        return {
            f"{layer}/{field}": values for layer, bias in biases.items() for field, values in bias._asdict().items()
        }


def _norm(activation: Tensor) -> Tensor:
    """Return the l2 norm of each row, ``(N,)``, summed in float64."""
    norm: Tensor = torch.linalg.vector_norm(activation.flatten(1), dim=1, dtype=torch.float64)
    return norm
