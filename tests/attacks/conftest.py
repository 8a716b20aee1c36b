"""Networks and images that the tests of attacks share."""

import math

import pytest
import torch
from torch import nn


class Block(nn.Module):
    """A residual block."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, features):
        return torch.relu(features + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(features))))))


@pytest.fixture
def residual():
    """Return a function that makes a small residual network with BatchNorm, in evaluation mode."""

    def make(channels=3, width=8, classes=5, dtype=torch.float32):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            Block(width), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes),
        )  # fmt: skip
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        network = network.to(dtype).eval()
        with torch.no_grad():
            # Every class gets its share of random images, so that small budgets succeed on some.
            network[-1].weight *= 10
            network[-1].bias -= network(torch.rand(64, channels, 12, 12).to(dtype)).mean(0)
        return network

    return make


@pytest.fixture
def examples():
    """Return a function that makes random images with the network's own predictions as labels."""

    def make(network, count=6, shape=(3, 12, 12), dtype=torch.float32):
        images = torch.rand(count, *shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
        with torch.no_grad():
            return images, network(images).argmax(1)

    return make


@pytest.fixture
def affine():
    """Return a function that makes an affine network, images in a band around grey, and predictions as labels."""

    def make(shape=(1, 2, 2), classes=2, count=6, spread=0.1, seed=0):
        generator = torch.Generator().manual_seed(seed)
        values = math.prod(shape)
        network = nn.Sequential(nn.Flatten(), nn.Linear(values, classes)).double()
        network[1].weight.data = torch.randn(classes, values, generator=generator, dtype=torch.float64)
        images = 0.5 + spread * (2 * torch.rand(count, *shape, generator=generator, dtype=torch.float64) - 1)
        with torch.no_grad():
            network[1].bias -= network(images).mean(0)
            return network, images, network(images).argmax(1)

    return make


@pytest.fixture
def smooth():
    """Return a function that makes a small smooth network, random images, and predictions as labels."""

    def make(shape=(3, 5, 5), classes=5, count=8, hidden=16, dtype=torch.float64):
        generator = torch.Generator().manual_seed(3)
        values = math.prod(shape)
        network = nn.Sequential(nn.Flatten(), nn.Linear(values, hidden), nn.Tanh(), nn.Linear(hidden, classes))
        for layer, scale in ((network[1], values**-0.5), (network[3], 1.0)):
            layer.weight.data = scale * torch.randn(layer.weight.shape, generator=generator)
        network, images = network.to(dtype).eval(), torch.rand(count, *shape, generator=generator).to(dtype)
        with torch.no_grad():
            network[3].bias -= network(images).mean(0)
            return network, images, network(images).argmax(1)

    return make
