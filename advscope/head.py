"""Finding the head of a network that a class activation map needs: global average pooling, then one linear layer."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from advscope.frozen import frozen
from advscope.layers import activations, find_layer, inner


class Head(NamedTuple):
    """Where a network's last feature map is, and the linear layer that turns its average into logits."""

    layer: str
    """Name of the module at the last feature map, ``(N, C, h, w)``."""
    takes_input: bool
    """Whether the map is that module's input (a pooling's, say) rather than its output."""
    linear: str
    """Name of the :class:`~torch.nn.Linear`, C -> K, whose output is the logits."""


class _Call(NamedTuple):
    """A feature map that went into or came out of a module, averaged at that moment (it may be overwritten later)."""

    name: str
    is_input: bool
    positions: int
    average: Tensor
    precision: float


def find_head(network: nn.Module, images: Tensor) -> Head:
    """Find the last feature map and the linear head of a network, by running it once on the first image.

    Nothing is guessed from names or types: the logits must *be* the output of a linear layer, and that layer's input
    must *equal* the average over positions of a feature map with as many channels. Of several such maps the one
    nearest to the head is taken, an output before an input. A map of a single position counts for none: it is its own
    average, also where it was normalised or transformed after the pooling.

    Args:
        network: Maps images to logits; micro-batched or not. Its hooks and modes are left as found.
        images: Images in [0, 1], ``(N, C, H, W)``, N >= 1.

    Returns:
        The names; they depend on the architecture and not on the image.

    Raises:
        ValueError: If the network has no such head; the message names the network and says why.

    References:
        Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016, section 2,
        https://arxiv.org/abs/1512.04150
    """
    network = inner(network)
    if len(images) == 0:
        raise ValueError("find_head needs an image to run the network on, got none")
    maps: list[_Call] = []
    linears: list[tuple[str, Tensor, Tensor]] = []
    times: dict[str, int] = {}

    def watch_map(name: str, is_input: bool, tensor: object) -> None:
        if isinstance(tensor, Tensor) and tensor.ndim == 4 and tensor.is_floating_point():
            average = tensor.mean(dim=(2, 3), dtype=torch.float64)
            maps.append(_Call(name, is_input, tensor[0, 0].numel(), average, torch.finfo(tensor.dtype).eps))

    def before(name: str, inputs: tuple[object, ...]) -> None:
        times[name] = times.get(name, 0) + 1
        if inputs:
            watch_map(name, True, inputs[0])

    def after(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        watch_map(name, False, output)
        if isinstance(module, nn.Linear) and isinstance(output, Tensor) and isinstance(inputs[0], Tensor):
            linears.append((name, inputs[0].clone(), output.clone()))

    handles = []
    try:
        for name, module in network.named_modules():
            if name:
                handles.append(module.register_forward_pre_hook(lambda _, inputs, name=name: before(name, inputs)))
                handles.append(
                    module.register_forward_hook(
                        lambda module, inputs, output, name=name: after(name, module, inputs, output)
                    )
                )
        with frozen(network), torch.no_grad():
            logits = network(images[:1])
    finally:
        for handle in handles:
            handle.remove()

    if not isinstance(logits, Tensor) or not logits.isfinite().all():
        raise _refusal(network, "it does not return finite logits")
    # The last linear layer that yields the logits, bit by bit.
    ends = [(name, pooled) for name, pooled, output in linears if torch.equal(output, logits)]
    if not ends:
        raise _refusal(network, "its logits are not the output of a linear layer")
    linear, pooled = ends[-1]
    # The pooling's own output is a map, too, but one of a single position.
    matching = [call for call in maps if call.positions > 1 and times[call.name] == 1 and _is_average(call, pooled)]
    if not matching:
        reason = (
            f"the input of its last linear layer, {linear!r}, is not the global average of the feature map of a layer"
        )
        if maps and all(call.positions == 1 for call in maps[-2:]):
            height, width = images.shape[2:]
            reason += f" (images of {height}x{width} may be too small: its last maps have a single position)"
        raise _refusal(network, reason)
    # Later calls are nearer to the head.
    nearest = max(range(len(matching)), key=lambda i: (not matching[i].is_input, i))
    return Head(matching[nearest].name, matching[nearest].is_input, linear)


def feature_maps(network: nn.Module, images: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Run a network once and return its last feature maps, ``(N, C, h, w)``, and its logits, ``(N, K)``.

    Args:
        network: The network that ``head`` was found in, micro-batched or not, in evaluation mode.
        images: Images in [0, 1], ``(N, 3, H, W)``.
        head: From :func:`find_head`.

    Raises:
        ValueError: If the layer does not run.
    """
    if not head.takes_input:
        outputs, logits = activations(network, images, [head.layer])
        return outputs[head.layer], logits
    inputs: list[Tensor] = []
    handle = find_layer(network, head.layer).register_forward_pre_hook(lambda _, given: inputs.append(given[0].clone()))
    try:
        logits = network(images)
    finally:
        handle.remove()
    if not inputs:
        raise ValueError(f"layer {head.layer!r} ran 0 times in one pass; name one that runs once")
    return torch.cat(inputs)[: len(images)], logits


# What was found, by network and shape of its images: finding costs a forward pass with hooks on every layer.
_FOUND: WeakKeyDictionary[nn.Module, dict[tuple[int, ...], Head]] = WeakKeyDictionary()


def head_maps(network: nn.Module, images: Tensor) -> tuple[nn.Linear, Tensor, Tensor]:
    """Find a network's head and run the network once: its linear layer, last feature maps and logits.

    A head that was found before is used again if it still explains the logits of this very call: the linear layer on
    the average of the maps must give them. A network that was changed in between is looked at anew.

    Args:
        network: In evaluation mode, micro-batched or not.
        images: Images in [0, 1], ``(N, C, H, W)``, N >= 1.

    Returns:
        The linear layer C -> K, maps ``(N, C, h, w)`` and logits ``(N, K)``.

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
    assert isinstance(linear, nn.Linear)  # find_head names no other
    features, logits = feature_maps(network, images, head)
    known[shape] = head
    return linear, features, logits


def _still_there(network: nn.Module, images: Tensor, head: Head) -> tuple[nn.Linear, Tensor, Tensor] | None:
    """Return what a known head gives, None where it does not explain the logits."""
    modules = dict(inner(network).named_modules())
    linear = modules.get(head.linear)
    if head.layer not in modules or not isinstance(linear, nn.Linear):
        return None
    try:
        features, logits = feature_maps(network, images, head)
    except ValueError:  # the layer does not run any more, or several times
        return None
    if features.ndim != 4 or features.shape[1] != linear.in_features or logits.shape[1:] != (linear.out_features,):
        return None
    with torch.no_grad():
        explained = functional.linear(features.mean((2, 3)), linear.weight, linear.bias)
        tolerance = torch.finfo(logits.dtype).eps ** 0.75 * float(logits.abs().max())
        close = bool((explained - logits).abs().max() <= tolerance)
    return (linear, features, logits) if close else None


def _is_average(call: _Call, pooled: Tensor) -> bool:
    """Whether the input of a linear layer is the average of a feature map, up to rounding."""
    if call.average.shape != pooled.shape:
        return False
    # Between the few roundings of a sum over positions and any difference that a network would mean.
    tolerance = max(call.precision, torch.finfo(pooled.dtype).eps) ** 0.75
    scale = float(call.average.abs().max())
    return bool((call.average - pooled).abs().max() <= tolerance * scale)


def _refusal(network: nn.Module, reason: str) -> ValueError:
    """Return the error for a network without such a head."""
    name = getattr(network, "name", None)
    name = f"{type(network).__name__}({name})" if isinstance(name, str) else type(network).__name__
    return ValueError(f"{name} has no closed-form class activation map: {reason}; use GradCAM(layer=...) instead")
