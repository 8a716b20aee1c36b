"""What layers return for the images of a batch, part by part."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from advscope.frozen import MicroBatched
from advscope.layers import activations


def parts(network: nn.Module, count: int) -> Iterator[slice]:
    """Yield the parts in which ``count`` images go through a network: micro-batches, whose activations are kept."""
    size = network.size if isinstance(network, MicroBatched) else max(1, count)
    yield from (slice(first, first + size) for first in range(0, count, size))


def layer_outputs(network: nn.Module, images: Tensor, names: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
    """Return the outputs of layers, ``(N, ...)`` each, and the logits, ``(N, classes)``.

    Outputs are float32, as which thresholds are exact.

    Raises:
        ValueError: If a name is unknown, a layer does not return a tensor with a place for each image, or it runs
            several times (or never).
    """
    with torch.no_grad():
        outputs, logits = activations(network, images, names)
    return {name: output.float() for name, output in outputs.items()}, logits
