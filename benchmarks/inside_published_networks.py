"""What adversarial training changes inside published networks: layers, units, and what masking units does.

    python -m benchmarks.inside_published_networks --broden FOLDER [--networks wresnet_normal wresnet_adv ...]
        [--images 512] [--masking-images 256] [--shared ../shared]

One question: do the natural and the adversarially trained networks of Boopathy et al. (ICML 2020) differ in how far an
attack moves their layers, in whether sensitive units are interpretable, and in what masking sensitive units does?
Prints three tables for each network, of exact CIFAR-10 test images and of a Broden scaled to 32 px: activation bias
under PGD-20 at 8/255 (over the images that it succeeds on) beside noise of the same l2 norm; dissection with PGD-10 at
4/255; accuracy against masked units of the last layer, attacked anew with PGD-10 at 4/255. Every attack is on the
margin of the logits, since the natural wresnet masks its gradients from the cross-entropy.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.measures import (
    ActivationBias,
    Dissection,
    activation_biases,
    dissect,
    masking_curve,
    noise_control,
    unit_orders,
)
from advscope.measures.unit_orders import usual_numbers
from advscope.networks import UnitMasking
from benchmarks.boopathy_networks import NAMES, boopathy_network
from benchmarks.inside_tables import bias_table, masking_table, significance_table, unit_tables
from callbacks.concept_images import ConceptImages
from datamodules import Broden

BATCH = 64
SIZE = (32, 32)
BIASED = {
    "wresnet": ("stem", "layer1.4", "layer2.0", "layer2.4", "layer3.0", "layer3.2", "layer3.4", "head"),
    "smallgap": ("conv1", "conv2", "conv3", "head"),
}
"""Layers whose bias is shown."""
DISSECTED = {"wresnet": ("layer1.4", "layer2.4", "layer3.2", "layer3.4"), "smallgap": ("conv1", "conv2", "conv3")}
"""Layers that are dissected; the units of the last one are masked."""


def exact_images(shared: Path, count: int) -> Batch:
    """Return the first exact test images of CIFAR-10; an index is a row of the official order.

    Raises:
        ValueError: If there are fewer than ``count``.
    """
    with numpy.load(shared / "data/cifar10/cifar10_lossless.npz", allow_pickle=False) as data:
        images, labels, indices = (torch.from_numpy(data[f"test_{name}"]) for name in ("images", "labels", "index"))
    if not 1 <= count <= len(images):
        raise ValueError(f"{count} images were asked for, and there are 1 to {len(images)}")
    pixels = images[:count].permute(0, 3, 1, 2).float() / 255
    return Batch(pixels.contiguous(memory_format=torch.channels_last), labels[:count].long(), indices[:count].long())


def parts(batch: Batch) -> Iterator[Batch]:
    """Yield a batch in smaller ones."""
    for start in range(0, len(batch.images), BATCH):
        yield Batch(*(field[start : start + BATCH] for field in batch[:3]))


def attacked_biases(network: nn.Module, batch: Batch, layers: tuple[str, ...]) -> dict[str, list[float]]:
    """Return the bias of each layer, and that of noise, of the images that PGD-20 at 8/255 succeeds on."""
    attack = PGD(8 / 255, 2 / 255, 20, loss="margin")
    found: dict[str, list[Tensor]] = {}
    for part in parts(batch):
        right = _right(network, part.images, part.labels)
        images, labels, indices = (field[right] for field in part[:3])
        adversarials = attack(network, images, labels, indices=indices)
        fooled = ~_right(network, adversarials, labels)
        images, adversarials, indices = images[fooled], adversarials[fooled], indices[fooled]
        moved = {"": adversarials, "noise": images + noise_control(adversarials - images, indices)}
        for version, biases in activation_biases(network, images, moved, layers).items():
            for name, values in ActivationBias.columns(biases, version).items():
                found.setdefault(name, []).append(values)
    return {name: torch.cat(values).tolist() for name, values in found.items()}


def masked_accuracies(network: nn.Module, found: Dissection, layer: str, batch: Batch) -> str:
    """Return the masking table of a layer, its units ranked by what was found of them.

    Numbers end where units do that are ranked: of none, where the dissection's attack succeeded on no image.
    """
    sensitivity = found[layer].sensitivity
    orders = unit_orders(sensitivity, found[layer].interpretability)
    numbers = [number for number in usual_numbers(len(sensitivity)) if number <= len(orders["sensitive"][0])]
    attack = PGD(4 / 255, 1 / 255, 10, loss="margin")
    curve = masking_curve(
        lambda units: MicroBatched(UnitMasking(network, {layer: units}), BATCH),
        list(parts(batch)), orders, numbers, attack,
    )  # fmt: skip
    return masking_table(curve)


@torch.no_grad()
def _right(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    right: Tensor = network(images).argmax(1) == labels
    return right


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broden", type=Path, required=True, help="folder of Broden, or of a part of it")
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=list(NAMES), help="which networks")
    parser.add_argument("--images", type=int, default=512, help="CIFAR-10 test images of the bias")
    parser.add_argument("--masking-images", type=int, default=256, help="CIFAR-10 test images of masked networks")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/")
    settings = parser.parse_args(arguments)
    try:
        images = exact_images(settings.shared, settings.images)
        masking_images = exact_images(settings.shared, settings.masking_images)
        networks = {name: boopathy_network(name, settings.shared) for name in settings.networks}
        data = Broden(root=str(settings.broden), num_workers=0)
        data.setup("test")
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    concepts = ConceptImages(data, SIZE, same_classes=False)
    for name, bare in networks.items():
        start = time.perf_counter()
        kind = name.partition("_")[0]
        plain = bare.to(memory_format=torch.channels_last)
        network = MicroBatched(plain, BATCH)
        print(f"## {name}\n", flush=True)
        print(bias_table(attacked_biases(network, images, BIASED[kind]), BIASED[kind]), flush=True)
        attack = PGD(4 / 255, 1 / 255, 10, loss="margin")
        found = dissect(network, concepts, DISSECTED[kind], attack=attack)
        figures = {layer: dissected.figures for layer, dissected in found.items()}
        print(unit_tables(figures), significance_table(figures), sep="\n", flush=True)
        print(f"{DISSECTED[kind][-1]}, units masked:\n", flush=True)
        print(masked_accuracies(plain, found, DISSECTED[kind][-1], masking_images), flush=True)
        print(f"({time.perf_counter() - start:.0f} s, {torch.get_num_threads()} threads)\n", flush=True)


if __name__ == "__main__":
    main()
