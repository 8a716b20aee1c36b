"""PGD reproduces the robust accuracies that published networks are known for, on real images."""

from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor, nn

from advscope.attacks import PGD
from advscope.frozen import frozen
from advscope.intervals import rate
from advscope.networks import load_weights
from benchmarks.boopathy_networks import boopathy_network

EPS = {"2/255": 2 / 255, "8/255": 8 / 255}
N = 128
"""Images that the known figures of the networks of Boopathy et al. were taken on, and that they are taken on here."""


class Block(nn.Module):
    """A residual block without BatchNorm, as alpha-beta-CROWN's small ResNets have it."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1)
        self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride)) if stride != 1 else nn.Sequential()

    def forward(self, maps: Tensor) -> Tensor:
        return (self.conv2(self.conv1(maps).relu()) + self.shortcut(maps)).relu()


class ResNet2b(nn.Module):
    """alpha-beta-CROWN's resnet2b."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.2471, 0.2435, 0.2616])[:, None, None], persistent=False)
        self.conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.layer1 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.linear1, self.linear2 = nn.Linear(1024, 100), nn.Linear(100, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.layer1(self.conv1((images - self.mean) / self.std).relu())
        return self.linear2(self.linear1(maps.flatten(1)).relu())


@pytest.fixture(scope="module")
def test_images(shared: Path) -> tuple[Tensor, Tensor]:
    """Return the exact test images of CIFAR-10, in [0, 1], and their labels."""
    with numpy.load(shared / "data/cifar10/cifar10_lossless.npz", allow_pickle=False) as data:
        images, labels = torch.from_numpy(data["test_images"]), torch.from_numpy(data["test_labels"])
    return images.permute(0, 3, 1, 2).float() / 255, labels.long()


def correct(network: nn.Module, images: Tensor, labels: Tensor) -> int:
    with torch.no_grad():
        return int((network(images).argmax(1) == labels).sum())


def agree(successes: int, n: int, known: float, known_n: int) -> bool:
    """Whether the 95% intervals of a share and of a known share overlap."""
    ours, theirs = rate(successes, n), rate(round(known * known_n), known_n)
    print(f"{ours.value:.4f} [{ours.low:.4f}, {ours.high:.4f}] (n={n}), known: {known} (n={known_n})")
    return ours.low <= theirs.high and theirs.low <= ours.high


KNOWN = {
    "wresnet_normal": (0.765, {"2/255": 0.16, "8/255": 0.09}),
    "wresnet_adv": (0.756, {"2/255": 0.59, "8/255": 0.18}),
    "smallgap_normal": (0.684, {"2/255": 0.02, "8/255": 0.0}),
    "smallgap_adv": (0.559, {"2/255": 0.52, "8/255": 0.30}),
}
"""Known accuracy on 1,017 clean images, and under PGD-20 on 128 of them."""


@pytest.mark.parametrize("name", KNOWN)
def test_pgd_reproduces_the_known_accuracies(name, shared, test_images):
    clean, robust = KNOWN[name]
    network = boopathy_network(name, shared)
    images, labels = test_images
    assert agree(correct(network, images[:1017], labels[:1017]), 1017, clean, 1017)
    for eps, known in robust.items():
        adversarials = PGD(EPS[eps], EPS[eps] / 4, 20)(network, images[:N], labels[:N])
        assert agree(correct(network, adversarials, labels[:N]), N, known, N), eps


def test_pgd_on_the_margin_breaks_a_network_that_masks_its_gradients(shared, test_images):
    network = boopathy_network("wresnet_normal", shared)
    images, labels = test_images[0][:N], test_images[1][:N]
    on_cross_entropy = PGD(8 / 255, 2 / 255, 20)(network, images, labels)
    on_margin = PGD(8 / 255, 2 / 255, 20, loss="margin")(network, images, labels)
    assert correct(network, on_cross_entropy, labels) >= 5
    assert correct(network, on_margin, labels) == 0


@pytest.mark.parametrize(("eps", "known"), [(0.0, 0.6925), (1 / 255, 0.6224), (2 / 255, 0.5482)])
def test_pgd_reproduces_the_published_accuracy_of_resnet2b(eps, known, shared, test_images):
    network = ResNet2b().eval()
    load_weights(network, shared / "data/models/cifar10_pgd/resnet2b.pth")
    images, labels = test_images
    with frozen(network):
        adversarials = PGD(eps, eps / 4, 20)(network, images, labels) if eps else images
    assert agree(correct(network, adversarials, labels), len(images), known, 10_000)
