"""Finding the layers of a network by name, and reading their outputs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from advscope.frozen import MicroBatched


def inner(network: nn.Module) -> nn.Module:
    """Return the network itself, out of :class:`~advscope.frozen.MicroBatched` if it is in one."""
    if isinstance(network, MicroBatched):
        wrapped: nn.Module = network.network
        return wrapped
    return network


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return the submodule of that name.

    Raises:
        ValueError: If there is none; the message names the nearest ones.
    """
    modules: dict[str, nn.Module] = dict(inner(network).named_modules())
    if name in modules:
        return modules[name]
    near = get_close_matches(name, modules, n=3, cutoff=0.3) or list(modules)[1:4]
    raise ValueError(f"{type(inner(network)).__name__} has no layer {name!r}; the nearest names are {', '.join(near)}")


@contextmanager
def recording(
    network: nn.Module, names: Sequence[str], copy: bool = False, of: Callable[[Tensor], Tensor] | None = None
) -> Iterator[dict[str, list[Tensor]]]:
    """Record the outputs of layers while the ``with`` lasts; the hooks are removed in any case.

    Args:
        network: Any module, micro-batched or not.
        names: Names of submodules, as in ``named_modules()``.
        copy: Whether to keep copies, which later in-place operations cannot change, rather than the very tensors,
            towards which gradients can be taken.
        of: What to keep of an output instead, where the whole would take too much memory.

    Yields:
        For each name the list of its outputs, one for each time it is called (so one per micro-batch).

    Raises:
        ValueError: If a name is unknown, or a layer does not return a tensor.
    """
    layers = {name: find_layer(network, name) for name in names}
    outputs: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str, output: object) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"layer {name!r} returns a {type(output).__name__}, not a tensor; name another layer")
        outputs[name].append(of(output) if of is not None else output.clone() if copy else output)

    handles = []
    try:
        for name, layer in layers.items():
            handles.append(layer.register_forward_hook(lambda _, __, output, name=name: keep(name, output)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def activations(
    network: nn.Module, images: Tensor, names: Sequence[str], of: Callable[[Tensor], Tensor] | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """Run a network once and return the outputs of layers, ``(N, ...)`` each, and the logits, ``(N, K)``.

    The outputs are copies from the moment at which a layer returned them: networks with in-place activations
    (torchvision's) overwrite the originals afterwards.

    Args:
        network: Any network, micro-batched or not.
        images: ``(N, C, H, W)``.
        names: Names of submodules.
        of: Maps an output to what is kept of it, ``(N, ...)`` of its own memory; ``None`` for all of it.

    Raises:
        ValueError: If a name is unknown, a layer does not return a tensor whose first dimension is the image, or it
            runs several times (or never) in one pass.
    """
    with recording(network, names, copy=True, of=of) as outputs:
        logits = network(images)
    # No images at all make one pass, too.
    passes = max(1, -(-len(images) // network.size)) if isinstance(network, MicroBatched) else 1
    rows = network.size if isinstance(network, MicroBatched) and len(images) else len(images)
    for name, parts in outputs.items():
        if len(parts) != passes:
            raise ValueError(f"layer {name!r} ran {len(parts) / passes:g} times in one pass; name one that runs once")
        for part in parts:
            if part.ndim == 0 or len(part) != rows:
                raise ValueError(
                    f"layer {name!r} returns {tuple(part.shape)} for {rows} images; name one whose first dimension is "
                    "the image"
                )
    return {
        name: (parts[0] if passes == 1 else torch.cat(parts))[: len(images)] for name, parts in outputs.items()
    }, logits


def blocks(network: nn.Module) -> list[str]:
    """Return the names of a network's blocks, from input to output, in the order in which they are defined.

    A block is a convolution or linear layer, or a module around some that is no plain container (a residual block,
    say), on the top level or in a container on it: the units in which architectures are described. A wrapper that
    holds all the weights of a network is looked into, and so is a stage: a module whose weights are all in one
    sequence of blocks of one kind (timm's).
    """
    names: list[str] = []

    whole = {id(parameter) for parameter in network.parameters()}

    def visit(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            if isinstance(child, nn.Conv2d | nn.Linear):
                names.append(path)
            elif (
                isinstance(child, nn.Sequential | nn.ModuleList)
                or whole == {id(p) for p in child.parameters()}
                or _is_stage(child)
            ):
                visit(child, f"{path}.")
            elif any(isinstance(layer, nn.Conv2d | nn.Linear) for layer in child.modules()):
                names.append(path)

    visit(inner(network), "")
    return names


def _is_stage(module: nn.Module) -> bool:
    """Whether all that has weights in a module is one sequence of blocks of one kind, which are no single layers."""
    weighted = [child for child in module.children() if any(True for _ in child.parameters())]
    if len(weighted) != 1 or not isinstance(weighted[0], nn.Sequential | nn.ModuleList):
        return False
    kinds = {type(block) for block in weighted[0]}
    compound = all(any(True for _ in block.children()) for block in weighted[0])
    return len(kinds) == 1 and compound and not issubclass(kinds.pop(), nn.Sequential)
