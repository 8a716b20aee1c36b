"""Layerwise activation bias: how far an adversarial image moves the activations of each layer."""

from collections.abc import Mapping, Sequence
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
    return activation_biases(network, images, {"": adversarials}, layers, chunk_size=chunk_size)[""]


def activation_biases(
    network: nn.Module,
    images: Tensor,
    moved: Mapping[str, Tensor],
    layers: Sequence[str] | None = None,
    *,
    chunk_size: int = 64,
) -> dict[str, dict[str, LayerBias]]:
    """Return the bias of several versions of the same images, from one pass over the clean ones.

    Args:
        network: As for :func:`activation_bias`.
        images: Clean images in [0, 1], ``(N, C, H, W)``.
        moved: By name, images of the same shape: adversarial ones, say, and clean ones with noise. They may leave
            [0, 1].
        layers: As for :func:`activation_bias`.
        chunk_size: As for :func:`activation_bias`.

    Returns:
        For each name what :func:`activation_bias` returns, bit for bit.

    Raises:
        ValueError: As for :func:`activation_bias`.
    """
    for others in moved.values():
        check_pair(images, others)
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    names = blocks(network) if layers is None else list(layers)
    if not names:
        raise ValueError(f"{type(network).__name__} has no blocks to measure, or layers is empty: name layers")
    parts: dict[str, dict[str, list[LayerBias]]] = {version: {name: [] for name in names} for version in moved}
    with frozen(network), torch.no_grad():
        for start in range(0, max(1, len(images)), chunk_size):
            clean, _ = activations(network, images[start : start + chunk_size], names)
            norms = {name: _norm(before) for name, before in clean.items()}
            for place, (version, others) in enumerate(moved.items()):
                after, _ = activations(network, others[start : start + chunk_size], names)
                last = place == len(moved) - 1
                for name in names:
                    # Popped, so that a layer's memory is free as soon as it is measured.
                    before = clean.pop(name) if last else clean[name]
                    raw, norm = _norm(after.pop(name) - before), norms[name]
                    parts[version][name].append(LayerBias(raw, (raw / norm).masked_fill(norm == 0, torch.nan)))
    return {
        version: {
            name: LayerBias(*(torch.cat(each) for each in zip(*part, strict=True))) for name, part in found.items()
        }
        for version, found in parts.items()
    }


class ActivationBias(ImageMeans):
    """The mean bias of each layer.

    Quantities: ``{layer}/raw`` and ``{layer}/relative``; of a control ``{layer}/raw_{control}``, likewise.

    Args:
        layers: Names of the layers.
        controls: Names of the control perturbations.
    """

    def __init__(self, layers: Sequence[str], controls: Sequence[str] = ()) -> None:
        super().__init__(self.names_of(layers, controls))

    @staticmethod
    def names_of(layers: Sequence[str], controls: Sequence[str] = ()) -> list[str]:
        """Return the names of the quantities for some layers."""
        ends = [_end(version) for version in ("", *controls)]
        return [f"{layer}/{field}{end}" for layer in layers for end in ends for field in LayerBias._fields]

    @staticmethod
    def columns(biases: dict[str, LayerBias], control: str = "") -> dict[str, Tensor]:
        """Return the quantities of every image, ``(N,)`` each, by name; ``nan`` where undefined.

        Args:
            biases: By layer, as :func:`activation_bias` returns them.
            control: Name of the control perturbation whose they are; empty for the attack's own.
        """
        return {
            f"{layer}/{field}{_end(control)}": values
            for layer, bias in biases.items()
            for field, values in bias._asdict().items()
        }


def _end(control: str) -> str:
    """Return what the quantities of a control end in."""
    return f"_{control}" if control else ""


def _norm(activation: Tensor) -> Tensor:
    """Return the l2 norm of each row, ``(N,)``, summed in float64."""
    norm: Tensor = torch.linalg.vector_norm(activation.flatten(1), dim=1, dtype=torch.float64)
    return norm
