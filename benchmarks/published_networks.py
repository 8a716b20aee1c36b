"""Published CIFAR-10 networks and the exact test images that they classify rightly, with targets."""

from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor, nn

from advscope.networks import CIFARResNet, Normalize, load_weights
from lightning_modules.targets import choose_targets

WEIGHTS = {"resnet20": (20, "resnet20-12fca82f.th"), "resnet56": (56, "resnet56-4bfd9763.th")}
"""Depth and file of each network, of https://github.com/akamaster/pytorch_resnet_cifar10."""


class Images(NamedTuple):
    """Images that a network classifies rightly.

    Attributes:
        images: In [0, 1], ``(N, 3, 32, 32)``, channels last.
        labels: Their classes, ``(N,)``.
        targets: Another class for each, a function of the image's place in CIFAR-10's test set, ``(N,)``.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor


def published_network(name: str, shared: Path) -> nn.Module:
    """Return one of :data:`WEIGHTS`, in evaluation mode and channels last, its parameters without gradients."""
    depth, file = WEIGHTS[name]
    network = CIFARResNet(depth, normalize=Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    load_weights(network, shared / "data/models/cifar10_natural" / file)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@torch.no_grad()
def right_images(network: nn.Module, shared: Path, count: int) -> Images:
    """Return the first exact CIFAR-10 test images that a network classifies rightly, each with a random target.

    Raises:
        ValueError: If there are fewer than ``count``.
    """
    with numpy.load(shared / "data/cifar10/cifar10_lossless.npz", allow_pickle=False) as data:
        images, labels, indices = (torch.from_numpy(data[f"test_{name}"]) for name in ("images", "labels", "index"))
    images, labels, indices = images.permute(0, 3, 1, 2).float() / 255, labels.long(), indices.long()
    seen: list[Tensor] = []
    right = torch.zeros(0, dtype=torch.int64)
    for chunk in images.split(64):
        seen.append(network(chunk))
        logits = torch.cat(seen)
        right = (logits.argmax(1) == labels[: len(logits)]).nonzero().flatten()[:count]
        if len(right) == count:
            break
    if len(right) < count:
        raise ValueError(f"--images {count}: the network classifies {len(right)} images rightly; ask for no more")
    targets = choose_targets("random", logits[right], labels[right], indices[right])
    return Images(images[right].contiguous(memory_format=torch.channels_last), labels[right], targets)
