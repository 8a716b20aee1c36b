"""Finding the last feature map of a network from its structure, for explainers that weigh its channels."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from advscope.frozen import frozen
from advscope.head import find_head
from advscope.layers import find_layer, inner

_NAMED = 4


class FeatureMap(NamedTuple):
    """Where feature maps are found in a network."""

    layer: str
    """Name of a module, as in ``named_modules()``."""
    takes_input: bool = False
    """Whether the map is that module's first input rather than its output."""


def find_last_map(network: nn.Module, images: Tensor) -> FeatureMap:
    """Find the last feature map of a network, by running it on the first image.

    That is the map which a linear head averages (:func:`~advscope.head.find_head`) where there is such a head. Else it
    is the output of the last module, in the order in which modules return, that the logits depend on and whose output
    is ``(1, K, h, w)`` with more than one position; of nested modules that return the same tensor, the outermost. The
    proportions h : w must be those of the image, to one position, so that no tensor laid out otherwise is taken for a
    map. All that the logits know of the image must pass through it: a map that a shortcut leads around is not the
    last one, and no module returns their sum.

    What was found is remembered with the network, for the size of the images, until a module is put in or replaced.
    A network whose ``forward`` takes another way through the same modules is to be told which layer to explain.

    Args:
        network: Maps images to logits; micro-batched or not. Its hooks and modes are left as found.
        images: Images in [0, 1], ``(N, C, H, W)``, N >= 1.

    Raises:
        ValueError: If no module returns such a map, or the last one is passed by; the message names the last ones.
    """
    network = inner(network)
    if len(images) == 0:
        raise ValueError("find_last_map needs an image to run the network on, got none")
    modules = tuple((name, id(module)) for name, module in network.named_modules())
    known = _FOUND.setdefault(network, {})
    shape = tuple(images.shape[1:])
    if shape not in known or known[shape][0] != modules:
        known[shape] = (modules, _find(network, images[:1]))
    return known[shape][1]


# What was found, by network and shape of its images, with the modules that it was found among.
_FOUND: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], tuple[tuple[tuple[str, int], ...], FeatureMap]]] = (
    WeakKeyDictionary()
)


@contextmanager
def cut_at(network: nn.Module, place: FeatureMap, *, leaves: bool) -> Iterator[list[Tensor]]:
    """Record feature maps while the ``with`` lasts, such that gradients towards them can be taken.

    The network goes on with copies, so that what is recorded is the map as it was returned, whatever in-place
    operations follow.

    Args:
        network: Any module, micro-batched or not.
        place: Where the maps are.
        leaves: Whether the maps start a new graph: nothing before them is then part of it.

    Yields:
        The maps, one tensor for each time that the module is called (so one per micro-batch).

    Raises:
        ValueError: If the module is unknown, or what is recorded is no feature map.
    """
    parts: list[Tensor] = []

    def record(found: object) -> Tensor:
        if not isinstance(found, Tensor) or found.ndim != 4 or not found.is_floating_point():
            role = "take" if place.takes_input else "return"
            raise ValueError(f"layer {place.layer!r} must {role} (N, K, h, w) feature maps; name a convolutional layer")
        part = found.detach().clone().requires_grad_() if leaves else found
        parts.append(part)
        return part.clone()

    layer = find_layer(network, place.layer)
    if place.takes_input:
        handle = layer.register_forward_pre_hook(lambda _, given: (record(given[0]), *given[1:]))
    else:
        handle = layer.register_forward_hook(lambda _, __, output: record(output))
    try:
        yield parts
    finally:
        handle.remove()


def _find(network: nn.Module, image: Tensor) -> FeatureMap:
    """Return the place of the last feature map, found on one image."""
    # Without a linear head the last map is looked for by what the logits depend on.
    with suppress(ValueError):
        head = find_head(network, image)
        return FeatureMap(head.layer, head.takes_input)
    candidates = _candidates(network, image)
    named = ", ".join(candidates[-_NAMED:][::-1])
    kind = type(network).__name__
    for name in reversed(candidates):
        reaches, passed_by = _cut(network, image, FeatureMap(name))
        if reaches and passed_by:
            raise ValueError(
                f"{kind} has no single last feature map: part of what reaches the logits passes {name!r} by; give "
                f"layer=, for example one of {named}"
            )
        if reaches:
            return FeatureMap(name)
    raise ValueError(
        f"{kind} has no last feature map: no module that runs once returns an (N, K, h, w) map with several positions "
        f"that the logits depend on; give layer={f', one of {named}' if named else ' of a network with convolutions'}"
    )


def _candidates(network: nn.Module, image: Tensor) -> list[str]:
    """Return the names of the modules that run once and return feature maps, in the order in which they return."""
    height, width = image.shape[2:]
    returned: list[tuple[str, object]] = []

    def is_map(output: object) -> bool:
        if not isinstance(output, Tensor) or output.ndim != 4 or not output.is_floating_point():
            return False
        rows, columns = output.shape[2:]
        in_proportion = abs(rows * width - columns * height) <= max(height, width)
        return rows * columns > 1 and in_proportion and rows <= height and columns <= width

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: returned.append((name, is_map(output))))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with frozen(network), torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    times: dict[str, int] = {}
    for name, _ in returned:
        times[name] = times.get(name, 0) + 1
    return [name for name, found in returned if found and times[name] == 1]


def _cut(network: nn.Module, image: Tensor, place: FeatureMap) -> tuple[bool, bool]:
    """Return whether the logits depend on a map, and whether they depend on the image in another way as well."""
    with frozen(network):
        image = image.clone().detach().requires_grad_()
        with cut_at(network, place, leaves=True) as parts:
            logits: Any = network(image)
        if not logits.requires_grad:
            return False, False
        found = torch.autograd.grad(logits.sum(), (*parts, image), allow_unused=True)
    return any(gradient is not None for gradient in found[:-1]), found[-1] is not None
