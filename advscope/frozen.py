"""A network held still: evaluation mode for a while, a fixed batch size, BatchNorm folded away."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

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
    devices = sorted({p.device.index for p in network.parameters() if p.device.index is not None})
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
        # One memory format for every micro-batch: the kernels, and so the rounding, follow from it.
        images = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images.contiguous()
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
    at fewer operations. Only a BatchNorm whose input is a convolution's output, used nowhere else, is folded.

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
            convolution = self.skeleton.get_submodule(convolution_name)
            norm = self.skeleton.get_submodule(norm_name)
            assert isinstance(convolution, nn.Conv2d)  # for the type checker; _foldable saw to it
            if convolution.bias is None:
                convolution.bias = nn.Parameter(torch.zeros_like(norm.running_mean), requires_grad=False)  # type: ignore[arg-type]
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
            norm = network.get_submodule(norm_name)
            weight, bias = norm.weight, norm.bias
            scale = (norm.running_var + norm.eps).rsqrt()  # type: ignore[operator]
            scale = scale if weight is None else scale * weight
            shift = -norm.running_mean * scale  # type: ignore[operator]
            shift = shift if bias is None else shift + bias
            own[f"{convolution_name}.weight"].copy_(state[f"{convolution_name}.weight"] * scale.view(-1, 1, 1, 1))
            inner = state.get(f"{convolution_name}.bias")
            own[f"{convolution_name}.bias"].copy_(shift if inner is None else shift + inner * scale)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` images, ``(N, K)``."""
        return self.skeleton(images)  # type: ignore[no-any-return]


def _foldable(network: nn.Module) -> list[tuple[str, str]]:
    """Return the pairs (convolution, BatchNorm) in which one feeds the other alone; none if tracing fails."""
    modules = dict(network.named_modules())
    try:
        graph = fx.Tracer().trace(copy.deepcopy(network).eval())
    except Exception:  # tracing runs the user's forward on symbols: whatever it raises means "cannot be traced"
        return []
    calls = [node for node in graph.nodes if node.op == "call_module"]
    targets = [str(node.target) for node in calls]
    pairs = []
    for node in calls:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        convolution, norm = modules[str(source.target)], modules[str(node.target)]
        once = targets.count(str(source.target)) == targets.count(str(node.target)) == 1
        if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats and once:
            pairs.append((str(source.target), str(node.target)))
    return pairs
