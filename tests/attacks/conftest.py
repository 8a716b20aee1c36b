"""Networks and images that the tests of attacks share."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
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
        network[1].bias.data.zero_()
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
            layer.bias.data = torch.randn(layer.bias.shape, generator=generator) / 4
        network, images = network.to(dtype).eval(), torch.rand(count, *shape, generator=generator).to(dtype)
        with torch.no_grad():
            network[3].bias -= network(images).mean(0)
            return network, images, network(images).argmax(1)

    return make


AFFINE = [
    # shape, classes, images, targeted, spread around grey, confidence, whether bounds are met
    ((1, 2, 2), 2, 1, False, 0.1, 0.3, False),
    ((3, 2, 3), 2, 9, False, 0.1, 1.0, False),
    ((1, 3, 4), 2, 5, True, 0.5, 4.0, True),
    ((1, 4, 4), 4, 4, False, 0.5, 5.0, True),
    ((2, 4, 3), 3, 4, True, 0.5, 4.0, True),
    ((1, 4, 5), 5, 3, True, 0.2, 1.0, False),
]
"""Affine problems whose least perturbation another solver finds."""


@pytest.fixture(params=AFFINE, ids=lambda case: "-".join(map(str, case)))
def affine_problem(request, affine):
    """Return a network, images, labels, targets or None, the confidence, and whether the bounds of [0, 1] are met."""
    shape, classes, count, targeted, spread, confidence, bounded = request.param
    network, images, labels = affine(shape, classes, count, spread)
    return network, images, labels, (labels + 1) % classes if targeted else None, confidence, bounded


@pytest.fixture
def least():
    """Return a function that finds the least perturbation of one image that fools an affine network, by SLSQP.

    The function takes the value to minimise, of a perturbation ``(C, H, W)``, differentiable also at 0; and returns the
    perturbation. A targeted problem has a constraint for each other class. An untargeted one is a problem for each
    other class, of which a descent solves one: that of the class which it reached, as is to be said.
    """

    def solve(value, network, image, label, target, confidence, found):
        with torch.no_grad():
            reached = network(found[None])[0].index_fill(0, torch.tensor(label), -torch.inf).argmax().item()
        weight, logits = network[1].weight.detach(), network(image[None]).detach()[0]
        own = label if target is None else target
        others = [place for place in range(len(logits)) if place != own]
        sign = 1 if target is None else -1
        slopes = {j: sign * (weight[j] - weight[own]) for j in others}
        needed = {j: confidence - sign * (logits[j] - logits[own]).item() for j in others}
        bounds = list(zip((-image).flatten().tolist(), (1 - image).flatten().tolist(), strict=True))

        def function(flat):
            point = torch.tensor(flat).view(image.shape).requires_grad_()
            objective = value(point)
            return objective.item(), torch.autograd.grad(objective, point)[0].flatten().numpy()

        problem = [reached] if target is None else others
        matrix, wanted = torch.stack([slopes[j] for j in problem]).numpy(), np.array([needed[j] for j in problem])
        best = minimize(
            function, np.linalg.pinv(matrix) @ wanted, jac=True, bounds=bounds, method="SLSQP",
            constraints=[{"type": "ineq", "fun": lambda x: matrix @ x - wanted, "jac": lambda _: matrix}],
            options={"ftol": 1e-12, "maxiter": 1000},
        )  # fmt: skip
        assert (matrix @ best.x >= wanted - 1e-6).all()
        return torch.tensor(best.x).view(image.shape)

    return solve
