"""Finding the head of a network that a class activation map needs: global average pooling and one linear layer."""

from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn

from advscope.frozen import frozen
from advscope.layers import activations, find_layer, inner


class Head(NamedTuple):
    """Where a network's last feature map is, and the layer that turns its average into logits linearly."""

    layer: str
    """Name of the module at the last feature map, ``(N, C, h, w)``."""
    takes_input: bool
    """Whether the map is that module's input (a pooling's, say) rather than its output."""
    linear: str
    """Name of the :class:`~torch.nn.Linear`, or convolution of 1 x 1, C -> K: its output is the logits, or its
    output's average is."""


class _Call(NamedTuple):
    """A feature map that went into or came out of a module, averaged at that moment (it may be overwritten later)."""

    name: str
    is_input: bool
    positions: int
    average: Tensor
    precision: float


class _End(NamedTuple):
    """What a layer that may be the head took and gave, each averaged over its positions."""

    name: str
    pooled: Tensor
    output: Tensor
    is_exact: bool
    precision: float

    def yields(self, logits: Tensor) -> bool:
        """Whether the output is the logits: bit by bit, or up to rounding where it was averaged."""
        return torch.equal(self.output, logits) if self.is_exact else _is_same(self.output, logits, self.precision)


def find_head(network: nn.Module, images: Tensor) -> Head:
    """Find the last feature map and the linear head of a network, by running it once on the first image.

    Nothing is guessed from names: the logits must *be* the output of a linear layer, and that layer's input must
    *equal* the average over positions of a feature map with as many channels. A convolution of 1 x 1 is a linear layer,
    whether it comes after the pooling or before it: averaging its output is the same as averaging its input. Of several
    such maps the one nearest to the head is taken, an output before an input. A map of a single position counts for
    none: it is its own average, also where it was normalised or transformed after the pooling.

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
    ends: list[_End] = []
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
        if is_linear(module) and inputs and isinstance(output, Tensor) and isinstance(inputs[0], Tensor):
            ends.append(_end(name, inputs[0], output))

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
    yielding = [end for end in ends if end.yields(logits)]
    if not yielding:
        raise _refusal(network, "its logits are not the output of a linear layer")
    linear, pooled = yielding[-1].name, yielding[-1].pooled
    # The pooling's own output is a map, too, but one of a single position.
    matching = [
        call
        for call in maps
        if call.positions > 1 and times[call.name] == 1 and _is_same(call.average, pooled, call.precision)
    ]
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


def is_linear(module: nn.Module) -> TypeGuard[nn.Linear | nn.Conv2d]:
    """Whether a module maps the channels of each position linearly and by itself."""
    if isinstance(module, nn.Conv2d):
        plain = module.kernel_size == module.stride == (1, 1) and module.groups == 1
        return plain and module.padding in ((0, 0), "valid", "same")
    return isinstance(module, nn.Linear)


def _end(name: str, given: Tensor, output: Tensor) -> _End:
    """Return what a linear layer took and gave, copied (it may be overwritten later), without its positions."""
    precision = torch.finfo(output.dtype).eps
    if output.ndim == 4 and output[0, 0].numel() > 1:
        average = (given.mean((2, 3), dtype=torch.float64), output.mean((2, 3), dtype=torch.float64))
        return _End(name, *average, False, precision)
    if output.ndim == 4:
        return _End(name, given.flatten(1).clone(), output.flatten(1).clone(), True, precision)
    return _End(name, given.clone(), output.clone(), True, precision)


def _is_same(average: Tensor, other: Tensor, precision: float) -> bool:
    """Whether two vectors are the same up to the rounding of an average."""
    if average.shape != other.shape:
        return False
    # Between the few roundings of a sum over positions and any difference that a network would mean.
    tolerance = max(precision, torch.finfo(other.dtype).eps) ** 0.75
    scale = float(average.abs().max())
    return bool((average - other).abs().max() <= tolerance * scale)


def _refusal(network: nn.Module, reason: str) -> ValueError:
    """Return the error for a network without such a head."""
    name = getattr(network, "name", None)
    name = f"{type(network).__name__}({name})" if isinstance(name, str) else type(network).__name__
    return ValueError(f"{name} has no closed-form class activation map: {reason}; use GradCAM() instead")
