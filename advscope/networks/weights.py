"""Weights from a file into a network, safely."""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

CONTAINERS = ("state_dict", "model", "network", "net")
"""Keys under which checkpoints keep their weights, in the order in which they are looked for."""

_PREFIXES = re.compile(r"^(?:(?:module|model|network)\.)+")
_SETTINGS = re.compile(r"(?:^|\.)normalize\.(?:mean|std)$")
# What torch's safe reader says of a class or a function that it does not know.
_NEEDS_PICKLE = re.compile(r"unsupported global|allowlisted|unrecognized function", re.IGNORECASE)
_SHOWN = 5


def load_weights(network: nn.Module, path: str | Path) -> str:
    """Load the weights of a network from a checkpoint, all of them or none.

    The file holds a state dict, bare or under one of :data:`CONTAINERS` (Lightning's checkpoints do). Prefixes
    ``module.``, ``model.`` and ``network.`` do not count, neither in the file nor in the network. Mean and standard
    deviation of a ``normalize`` layer are settings of the network: where the file has them too, they must agree.
    Weights under a prefix that a network states as ``unused_weights`` (heads that it leaves out) are passed over.

    Args:
        network: Takes the weights, in place; a mismatch leaves it as it was.
        path: Written by ``torch.save``; read with ``weights_only=True``, so that it cannot run code.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, needs to unpickle objects other than tensors, or does not fit; the
            message names the missing and the unexpected keys and the shapes that differ.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {str(path)!r}: give the path of a checkpoint")
    content = path.read_bytes()
    found = _by_plain_name(_state_dict(content, path), f"the file {path.name}")
    own = _by_plain_name(network.state_dict(), f"the {type(network).__name__}")
    settings = _by_plain_name(
        {name: buffer for name, buffer in network.named_buffers() if _SETTINGS.search(name)}, type(network).__name__
    )

    complaints = []
    missing = [
        # Checkpoints from before PyTorch 0.4.1 have no counter of batches, which a fixed momentum never reads.
        name
        for plain, (name, _) in own.items()
        if plain not in found and not plain.endswith("num_batches_tracked")
    ]
    if missing:
        complaints.append(f"missing {_listed(missing)}")
    unused = tuple(prefix for module in network.modules() for prefix in getattr(module, "unused_weights", ()))
    unexpected = [
        name
        for plain, (name, _) in found.items()
        if plain not in own and not _SETTINGS.search(plain) and not plain.startswith(unused)
    ]
    if unexpected:
        complaints.append(f"unexpected {_listed(unexpected)}")
    shapes = [
        f"{own[plain][0]} {tuple(tensor.shape)} instead of {tuple(own[plain][1].shape)}"
        for plain, (_, tensor) in found.items()
        if plain in own and tensor.shape != own[plain][1].shape
    ]
    if shapes:
        complaints.append(f"of another shape {_listed(shapes)}")
    changed = [
        f"{settings[plain][0]} {_numbers(tensor)} instead of {_numbers(settings[plain][1])}"
        for plain, (_, tensor) in found.items()
        if plain in settings and plain not in own and not _same(tensor, settings[plain][1])
    ]
    if changed:
        complaints.append(f"normalised otherwise {_listed(changed)}")
    if complaints:
        raise ValueError(f"{path.name} does not fit {type(network).__name__}: {'; '.join(complaints)}")

    with torch.no_grad():
        for plain, (_, tensor) in own.items():
            if plain in found:
                tensor.copy_(found[plain][1])
    return hashlib.sha256(content).hexdigest()


def _state_dict(content: bytes, path: Path) -> Mapping[str, Tensor]:
    """Return the tensors by name that a file holds."""
    try:
        loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes make the reader raise: pickle, zip, struct and unicode errors
        if _NEEDS_PICKLE.search(str(error)):
            raise ValueError(
                f"{path.name} holds objects other than tensors, which could run code when loaded: "
                "save the state dict alone, with torch.save(network.state_dict(), FILE)"
            ) from None
        raise ValueError(
            f"{path.name} is no checkpoint that PyTorch can read: give a file written by torch.save"
        ) from None
    inside = loaded
    while isinstance(inside, Mapping) and not _is_state_dict(inside):
        inside = next((inside[key] for key in CONTAINERS if isinstance(inside.get(key), Mapping)), None)
    if inside is None or not _is_state_dict(inside):
        keys = f" among {_listed([str(key) for key in loaded])}" if isinstance(loaded, Mapping) else ""
        raise ValueError(
            f"{path.name} holds no state dict{keys}: it is looked for bare, or under {_listed(CONTAINERS)}"
        )
    return inside


def _is_state_dict(candidate: Any) -> TypeGuard[Mapping[str, Tensor]]:
    """Whether something is a dict of tensors, and has one at least."""
    return (
        isinstance(candidate, Mapping)
        and len(candidate) > 0
        and all(isinstance(value, Tensor) for value in candidate.values())
    )


def _by_plain_name(tensors: Mapping[str, Tensor], owner: str) -> dict[str, tuple[str, Tensor]]:
    """Return (name, tensor) by the name without prefixes."""
    plain: dict[str, tuple[str, Tensor]] = {}
    for name, tensor in tensors.items():
        key = _PREFIXES.sub("", name)
        if key in plain:
            raise ValueError(
                f"{owner} has both {plain[key][0]!r} and {name!r}, which differ in a prefix alone: rename one"
            )
        plain[key] = (name, tensor)
    return plain


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether two settings agree to four digits, as they are written in configs."""
    return left.numel() == right.numel() and torch.allclose(
        left.flatten().double().cpu(), right.flatten().double().cpu(), rtol=1e-3, atol=1e-4
    )


def _numbers(tensor: Tensor) -> list[float]:
    """Return the numbers of a setting, for a message."""
    return [round(number, 4) for number in tensor.flatten().tolist()]


def _listed(names: tuple[str, ...] | list[str]) -> str:
    """Return the first names, and how many more there are."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
