"""What the benchmark of dissection runs on: networks, annotated images, and activations of given shapes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.layers import activations
from advscope.networks import CIFARResNet, Library, load_weights
from benchmarks.published_networks import published_network
from datamodules.broden import Broden
from datamodules.rendering import CONCEPTS, render

SHARED = Path("../shared")
"""Where test data are, which not every checkout has."""

HIDDEN = {7: "network.features.17.conv.1", 14: "network.features.13.conv.1",
          28: "network.features.6.conv.1", 56: "network.features.3.conv.1"}  # fmt: skip
"""MobileNetV2's widest rectified maps of each side: 960, 576, 192 and 144 units."""

SIZES = {"color": 11, "object": 405, "part": 234, "material": 32, "texture": 47, "scene": 468}
"""Concepts of each category: 1,197 as in Broden, each counted in its primary category."""

LAYERS = (("color", 4), ("object", 4), ("object", 3), ("part", 3), ("part", 3), ("material", 3))
"""Category of each layer of generated annotations, and labels on it: 20 in all."""


class Annotated(NamedTuple):
    """Annotated images, and how a network is run on them."""

    network: nn.Module
    batch: Batch
    concepts: tuple[Concept, ...]
    layers: tuple[str, ...]
    """Five layers, the last of which stands for one."""
    name: str

    def batches(self, size: int) -> list[Batch]:
        """Return the images in batches."""
        return [self.batch.part(rows) for rows in torch.arange(len(self.batch.images)).split(size)]


class Activations(NamedTuple):
    """Activations of a layer, and the annotation of their images."""

    maps: Tensor
    """Float32 ``(N, K, h, w)``, channels last, as layers return them."""
    labels: Tensor
    """Integers ``(N, L, H, W)``."""
    whole: Tensor
    """Integers ``(N, M)``."""
    concepts: tuple[Concept, ...]
    source: str


def photographs(count: int) -> Annotated | None:
    """Return MobileNetV2 and Broden's images of the test data, the first ``count``; None where they are absent."""
    weights = SHARED / "data/models/imagenet/mobilenet_v2_dequantised_torchvision.pth"
    root = SHARED / "data/broden/broden_mini_224"
    if not weights.is_file() or not root.is_dir():
        return None
    network = Library("torchvision/mobilenet_v2", mean=[0.5] * 3, std=[0.5] * 3).eval()
    load_weights(network, weights)
    data = Broden(str(root), eval_batch_size=96)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    # Sources follow one another: every second image or so is a sample of all.
    rows = (torch.arange(min(count, len(batch.images))) * len(batch.images)) // min(count, len(batch.images))
    layers = tuple(f"network.features.{number}" for number in (3, 6, 13, 16, 18))
    return Annotated(_ready(network), batch.part(rows), data.concepts, layers, "MobileNetV2 on Broden's images")


def rendered(count: int) -> Annotated:
    """Return ResNet-20, with published weights where they are at hand, and ConceptShapes pictures."""
    made = render(0, np.arange(count), 32, 4.0)
    torch.manual_seed(0)
    known = (SHARED / "data/models/cifar10_natural").is_dir()
    network = published_network("resnet20", SHARED) if known else CIFARResNet(20).eval()
    batch = Batch(
        torch.from_numpy(made.images).float().div(255),
        torch.full((count,), -1),
        torch.arange(count),
        torch.from_numpy(made.concepts),
        torch.from_numpy(made.image_concepts),
    )
    layers = ("layer1.2", "layer2.0", "layer2.2", "layer3.0", "layer3.2")
    return Annotated(_ready(network), batch, CONCEPTS, layers, "ResNet-20 on ConceptShapes")


def _ready(network: nn.Module) -> nn.Module:
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def layer_activations(units: int, side: int, count: int) -> Activations:
    """Return activations of so many units and of that side, on ``count`` images.

    Those of a trained network where the test data are at hand, its units tiled where there are too few, turned over so
    that no two are the same; else random fields. Sides of 7 to 56 come with generated annotations of 112 x 112, of 20
    labels in 6 layers and a scene; other sides with ConceptShapes'.
    """
    if side not in HIDDEN:
        given = rendered(count)
        assert given.batch.concepts is not None and given.batch.image_concepts is not None  # noqa: PT018
        maps = _tiled(_maps(given, "layer3.2"), units)
        # Labels of whole images stand on a layer, too: ours would count them once, the plain procedure twice.
        return Activations(maps, given.batch.concepts, given.batch.image_concepts[:, :0], given.concepts, given.name)
    photographed = photographs(count)
    if photographed is None:
        generator = torch.Generator().manual_seed(side)
        coarse = torch.randn(count, units, -(-side // 2), -(-side // 2), generator=generator)
        maps, source = interpolate(coarse, (side, side), mode="bilinear").relu_(), "random fields"
    else:
        maps, source = _tiled(_maps(photographed, HIDDEN[side]), units), photographed.name
    labels, whole = annotations(len(maps))
    return Activations(maps.contiguous(memory_format=torch.channels_last), labels, whole, table(), source)


@torch.no_grad()
def _maps(given: Annotated, layer: str) -> Tensor:
    """Return the activations of a layer on all images."""
    return torch.cat([activations(given.network, batch.images, [layer])[0][layer] for batch in given.batches(16)])


def _tiled(maps: Tensor, units: int) -> Tensor:
    """Return ``(N, units, h, w)``: the maps, then the maps turned over in the three ways that there are."""
    if units > 4 * maps.shape[1]:
        raise ValueError(f"the layer's {maps.shape[1]} units make at most {4 * maps.shape[1]}, got {units}")
    turned = [maps, maps.flip(3), maps.flip(2), maps.flip(2, 3)][: -(-units // maps.shape[1])]
    return torch.cat(turned, 1)[:, :units].contiguous(memory_format=torch.channels_last)


def table() -> tuple[Concept, ...]:
    """Return as many concepts as Broden has."""
    categories = [category for category, size in SIZES.items() for _ in range(size)]
    return tuple(Concept(number, f"concept {number}", category) for number, category in enumerate(categories, start=1))


def annotations(count: int, side: int = 112, first: int = 0) -> tuple[Tensor, Tensor]:
    """Return annotations like Broden's: on each layer the cells around random points, some of them left blank.

    No label stands on two layers of an image, and one holds for all of it.

    Args:
        count: Images, N.
        side: Height and width in pixels.
        first: The first image's place in the sequence of all.

    Returns:
        Label numbers of pixels, int16 ``(N, 6, side, side)``, and of whole images, int16 ``(N, 1)``.
    """
    starts = dict(zip(SIZES, np.cumsum([1, *SIZES.values()]).tolist(), strict=False))
    rows = np.arange(side)
    labels, whole = np.zeros((count, len(LAYERS), side, side), np.int16), np.zeros((count, 1), np.int16)
    for image in range(count):
        generator = np.random.default_rng([first + image, 0])
        drawn = {category: generator.permutation(size) + starts[category] for category, size in SIZES.items()}
        for layer, (category, number) in enumerate(LAYERS):
            chosen, drawn[category] = np.split(drawn[category], [number])
            # A third of the cells bear nothing.
            down, across = generator.uniform(0, side, (2, number + number // 2))
            near = (rows[:, None, None] - down) ** 2 + (rows[None, :, None] - across) ** 2
            labels[image, layer] = np.append(chosen, np.zeros(number // 2))[near.argmin(2)]
        whole[image, 0] = drawn["scene"][0]
    return torch.from_numpy(labels), torch.from_numpy(whole)


class Generated:
    """Photographs of noise with generated annotations, made batch by batch each time: none is kept.

    Args:
        images: Number of images.
        size: Images in a batch.
    """

    concepts = table()

    def __init__(self, images: int, size: int) -> None:
        self.images, self.size = images, size

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        for first in range(0, self.images, self.size):
            count = min(self.size, self.images - first)
            noise = torch.rand(count, 3, 28, 28, generator=torch.Generator().manual_seed(first))
            pictures = interpolate(noise, (224, 224), mode="bilinear").clamp_(0, 1)
            labels, whole = annotations(count, first=first)
            yield Batch(pictures, torch.full((count,), -1), torch.arange(first, first + count), labels, whole)
