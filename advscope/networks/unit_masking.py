"""A network some of whose units are masked: what it would say, and how it would be attacked, without them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from advscope.layers import find_layer


class UnitMasking(nn.Module):
    """A network in which some units of some layers are masked: their output is 0, whatever the image.

    A unit is a channel of a layer's output ``(N, K, h, w)``, or a feature of ``(N, K)``. It is set to 0 as soon as the
    layer returns, so that all that follows (a residual sum, a ReLU in place) sees the 0; and no gradient goes back
    through it. An attack on this network is one on the masked network. The network inside is shared and not changed: it
    has a hook while :meth:`forward` runs, and none after it.

    To run it on micro-batches, put this inside: ``MicroBatched(UnitMasking(network, units))``. The ``state_dict`` is
    the network's, under ``network.``: which units are masked is a setting and not a weight.

    Args:
        network: Maps images to logits.
        units: For each layer, by its name in ``network.named_modules()``, the numbers of the units to mask, from 0;
            none leaves a layer as it is.

    Raises:
        ValueError: If a layer is unknown (the message gives the nearest names), or a unit is negative or named twice;
            when called, if a layer does not return ``(N, K)`` or ``(N, K, h, w)``, has fewer units than one that is
            named, or runs several times or never.

    References:
        The defence by masking units is of the paper's later version; here it is a network like any other.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Identity())
        >>> UnitMasking(network, {"1": [0, 2]})(torch.ones(1, 3, 1, 1))
        tensor([[0., 1., 0.]])
    """

    def __init__(self, network: nn.Module, units: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.network = network
        self.units = {layer: tuple(int(unit) for unit in numbers) for layer, numbers in units.items()}
        for place, (layer, numbers) in enumerate(self.units.items()):
            find_layer(network, layer)
            if any(unit < 0 for unit in numbers):
                raise ValueError(f"layer {layer!r}: units count from 0, got {min(numbers)}")
            if len(set(numbers)) < len(numbers):
                repeated = next(unit for unit in numbers if numbers.count(unit) > 1)
                raise ValueError(f"layer {layer!r}: unit {repeated} is named twice; name each once")
            # Gradients go through what the numbers select: made in inference mode, they could not be kept for that.
            with torch.inference_mode(False):
                self.register_buffer(f"masked_{place}", torch.tensor(numbers, dtype=torch.int64), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` images without the masked units, ``(N, K)``."""
        runs = dict.fromkeys(self.units, 0)

        def mask(place: int, layer: str, output: object) -> Tensor:
            runs[layer] += 1
            return self._masked(place, layer, output)

        handles = []
        try:
            for place, layer in enumerate(self.units):
                module = find_layer(self.network, layer)
                handles.append(
                    module.register_forward_hook(
                        lambda _, __, output, place=place, layer=layer: mask(place, layer, output)
                    )
                )
            logits: Tensor = self.network(images)
        finally:
            for handle in handles:
                handle.remove()
        for layer, count in runs.items():
            if count != 1:
                raise ValueError(
                    f"layer {layer!r} ran {count} times in one pass; name one that runs once (a micro-batched network: "
                    "mask the network inside it)"
                )
        return logits

    def extra_repr(self) -> str:
        """Return how many units of which layer are masked."""
        return ", ".join(f"{layer}: {len(numbers)} units masked" for layer, numbers in self.units.items())

    def _masked(self, place: int, layer: str, output: object) -> Tensor:
        """Return a layer's output with its masked units at 0."""
        if not isinstance(output, Tensor):
            raise ValueError(f"layer {layer!r} returns a {type(output).__name__}, not a tensor; name another layer")
        if output.ndim not in (2, 4):
            raise ValueError(
                f"layer {layer!r} must return (N, K) or (N, K, h, w), got {tuple(output.shape)}; name another layer"
            )
        highest = max(self.units[layer], default=-1)
        if highest >= output.shape[1]:
            raise ValueError(f"layer {layer!r} has the units 0 to {output.shape[1] - 1}, got {highest}")
        # Not a product: an infinite or undefined output is masked, too.
        return output.index_fill(1, self.get_buffer(f"masked_{place}").to(output.device), 0)
