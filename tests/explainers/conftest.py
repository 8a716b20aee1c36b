"""What the tests of explainers share: a network with a flat head, one with a pooled head, and images."""

import pytest
import torch
from torch import nn


class Flat(nn.Module):
    """A network whose head is no global average pooling, with in-place activations, BatchNorm and dropout."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 8, 3),
            nn.Tanh(),
            nn.Conv2d(8, 8, 1),
        )
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8 * 5 * 5, 5)

    def forward(self, images):
        maps = self.body(images)
        maps.mul_(2)  # in place, after the last module that returns a map
        return self.head(self.drop(maps.flatten(1)))


class Pooled(nn.Module):
    """A network that ends in global average pooling and one linear layer."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3))
        self.head = nn.Linear(8, 5)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


@pytest.fixture
def flat():
    torch.manual_seed(0)
    return Flat().double().eval()


@pytest.fixture
def pooled():
    torch.manual_seed(1)
    return Pooled().double().eval()


@pytest.fixture
def images():
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def classes():
    return torch.tensor([0, 4, 2, 1, 2])
