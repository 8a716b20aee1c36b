"""A network held still: evaluation mode for a while, a fixed batch size, BatchNorm folded away."""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, fx, nn


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Hold a network in evaluation mode, its parameters without gradients; restore everything as it was.

    Gradients towards the *input* work inside, also if the caller is in inference mode. The mode of every submodule,
    every ``requires_grad`` and the global random state come back exactly as found; ``.grad`` is not touched.

    Args:
        network: Any module.

    Yields:
        The same network.
    """
    modes = [(module, module.training) for module in network.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    # fork_rng takes CUDA devices: other kinds number theirs, too.
    devices = sorted({p.device.index for p in network.parameters() if p.device.type == "cuda"})
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices):
            network.eval()
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            yield network
    finally:
        for parameter, requires in wanted:
            parameter.requires_grad_(requires)
        for module, training in modes:
            module.training = training


class MicroBatched(nn.Module):
    """Runs a network on micro-batches of one fixed size, the last one padded.

    A network's float32 rounding depends on the batch size, so an image's logits and gradients would depend on its
    neighbours. Run this way they are bit-identical for any batch, order and neighbour at an equal number of threads.
    (Seen to fail by one unit in the last place for a linear layer with 5 inputs on a CPU, whose kernel rounds by the
    place in the batch; not for 12 inputs or more.)

    Args:
        network: Maps images to logits, each image by itself (evaluation mode).
        size: Images in a micro-batch.

    Attributes:
        forwards: Images that went forward so far, without padding.
        backwards: Images that gradients went back to so far, without padding.

    Raises:
        ValueError: If ``size`` is not positive, or ``network`` is micro-batched already.
    """

    def __init__(self, network: nn.Module, size: int = 64) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        if isinstance(network, MicroBatched):
            raise ValueError("network is micro-batched already: pass the network inside it")
        self.network = network
        self.size = size
        self.forwards = 0
        self.backwards = 0

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` images, ``(N, K)``."""
        count = len(images)
        if count == 0:
            return self.network(images)  # type: ignore[no-any-return]
        padding = -count % self.size
        if padding:
            # The first image again: any valid image serves, and none may bring in a nan of its own.
            images = torch.cat([images, images[:1].detach().expand(padding, *images.shape[1:])])
        # One memory format for every micro-batch: the kernels, and so the rounding, follow from it. A copy into fresh
        # memory, since the strides of images with one channel are ambiguous and survive contiguous().
        layout = torch.channels_last if images.ndim == 4 else torch.contiguous_format
        images = torch.empty_like(images, memory_format=layout, requires_grad=False).copy_(images)
        logits = torch.cat([self.network(chunk) for chunk in images.split(self.size)])[:count]
        self.forwards += count
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count_backward(count))
        return logits

    def _count_backward(self, count: int) -> None:
        self.backwards += count


class FoldedBatchNorm(nn.Module):
    """A copy of a network whose BatchNorms are folded into the convolutions before them, for attacks while training.

    In evaluation mode BatchNorm is an affine map, which a convolution can absorb: the same function up to rounding,
    at fewer operations. Only a BatchNorm whose input is a convolution's output, used nowhere else, is folded; and only
    if neither has forward hooks, another name, or weights that something else uses.

    Args:
        network: Any network that :mod:`torch.fx` can trace; one that it cannot is copied unfolded.

    Attributes:
        folded: Pairs of names (convolution, BatchNorm) that are folded.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # In a tuple, so that the original is no submodule: modes and checkpoints are not ours.
        self._original = (network,)
        self.folded = _foldable(network)
        self.skeleton = copy.deepcopy(network).eval().requires_grad_(False)
        for convolution_name, norm_name in self.folded:
            convolution, norm = _pair(self.skeleton, convolution_name, norm_name)
            if convolution.bias is None:
                bias = torch.zeros(norm.num_features, dtype=convolution.weight.dtype, device=convolution.weight.device)
                convolution.bias = nn.Parameter(bias, requires_grad=False)
            self.skeleton.set_submodule(norm_name, nn.Identity())
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> "FoldedBatchNorm":
        """Take over the network's present weights and running statistics; return self."""
        (network,) = self._original
        pairs = dict(self.folded)
        state = dict(network.named_parameters()) | dict(network.named_buffers())
        own = dict(self.skeleton.named_parameters()) | dict(self.skeleton.named_buffers())
        for name, tensor in own.items():
            module_name, _, _ = name.rpartition(".")
            if module_name not in pairs:
                tensor.copy_(state[name])
        for convolution_name, norm_name in self.folded:
            convolution, norm = _pair(network, convolution_name, norm_name)
            mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            scale = (variance + norm.eps).rsqrt()
            scale = scale * norm.weight if norm.affine else scale
            shift = norm.bias - mean * scale if norm.affine else -mean * scale
            own[f"{convolution_name}.weight"].copy_(convolution.weight * scale.view(-1, 1, 1, 1))
            own[f"{convolution_name}.bias"].copy_(
                shift if convolution.bias is None else shift + convolution.bias * scale
            )
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` images, ``(N, K)``."""
        return self.skeleton(images)  # type: ignore[no-any-return]


def _pair(network: nn.Module, convolution_name: str, norm_name: str) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return the modules of a pair of names that :func:`_foldable` found."""
    return cast(nn.Conv2d, network.get_submodule(convolution_name)), cast(
        nn.BatchNorm2d, network.get_submodule(norm_name)
    )


def _foldable(network: nn.Module) -> list[tuple[str, str]]:
    """Return the pairs (convolution, BatchNorm) in which one feeds the other alone; none if tracing fails."""
    modules = dict(network.named_modules())
    try:
        graph = fx.Tracer().trace(copy.deepcopy(network).eval())
    except Exception:  # tracing runs the user's forward on symbols: whatever it raises means "cannot be traced"
        return []
    # How often a module runs, has its weights read from outside, and is named; how often a weight is held.
    runs = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    reads = Counter(str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr")
    named = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    held = Counter(id(weight) for module in network.modules() for weight in module.parameters(recurse=False))

    def alone(name: str) -> bool:
        module = modules[name]
        hooked = bool(module._forward_hooks or module._forward_pre_hooks)
        shared = any(held[id(weight)] != 1 for weight in module.parameters(recurse=False))
        return runs[name] == named[id(module)] == 1 and not (reads[name] or hooked or shared)

    pairs = []
    for node in graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        convolution_name, norm_name = str(source.target), str(node.target)
        convolution, norm = modules[convolution_name], modules[norm_name]
        kinds = type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats
        if kinds and alone(convolution_name) and alone(norm_name):
            pairs.append((convolution_name, norm_name))
    return pairs
