"""Which layers of a network return maps."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from advscope.layers import find_layer, inner


def map_layers(network: nn.Module, images: Tensor, names: Sequence[str]) -> list[str]:
    """Return those of some layers that run once and return one tensor of maps ``(N, K, h, w)``, in their order.

    Found out by running the network once; its hooks are removed in any case.

    Args:
        network: Any network, micro-batched or not.
        images: ``(N, C, H, W)``.
        names: Names of submodules.
    """
    returned: dict[str, list[bool]] = {name: [] for name in names}

    def note(name: str, output: object) -> None:
        maps = isinstance(output, Tensor) and output.ndim == 4 and len(output) == len(images)
        returned[name].append(maps)

    with ExitStack() as hooks, torch.no_grad():
        for name in names:
            handle = find_layer(network, name).register_forward_hook(
                lambda _, __, output, name=name: note(name, output)
            )
            hooks.callback(handle.remove)
        inner(network)(images)
    return [name for name, each in returned.items() if each == [True]]
