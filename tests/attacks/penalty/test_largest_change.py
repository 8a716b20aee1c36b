"""The l-inf variant of C&W, against the closed form on linear networks."""

import io

import pytest
import torch
from torch import nn
from tqdm import tqdm

from advscope.attacks import CarliniWagner
from advscope.attacks.losses import margin
from advscope.frozen import MicroBatched


def linear(dimensions, scale=1.0):
    """Return a network of two classes whose margin is linear, and images that it takes for class 0."""
    generator = torch.Generator().manual_seed(dimensions)
    slope = torch.randn(3 * dimensions**2, generator=generator, dtype=torch.float64)
    images = 0.3 + 0.4 * torch.rand(5, 3, dimensions, dimensions, generator=generator, dtype=torch.float64)
    network = nn.Sequential(nn.Flatten(), nn.Linear(len(slope), 2).double())
    with torch.no_grad():
        network[1].weight.copy_(torch.stack([-slope, slope]) / 2)
        # The margin is the slope times the image plus a bias that makes every image need a change of its own.
        network[1].bias.copy_(torch.tensor([1.0, -1.0]) * ((images.flatten(1) @ slope).max() + 0.1 * len(slope)) / 2)
        network[1].weight.mul_(scale)
        network[1].bias.mul_(scale)
    return network, images, slope * scale


@pytest.mark.parametrize("dimensions", [2, 4, 7])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_largest_change_is_that_of_the_closed_form(dimensions, scale):
    network, images, slope = linear(dimensions, scale)
    labels = torch.zeros(5, dtype=torch.int64)
    found = CarliniWagner(steps=60, norm="Linf")(network, images, labels)
    missing = -margin(network(images), labels)
    optimum = missing / slope.abs().sum()
    changes = (found - images).abs().flatten(1).amax(1)
    assert (margin(network(found), labels) > 0).all()
    assert (changes >= optimum * (1 - 1e-9)).all()
    assert (changes <= 1.05 * optimum).all()
    assert optimum.max() < 0.3  # the bounds of the range play no part


@pytest.mark.parametrize("confidence", [0.0, 1.0])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_margin_reaches_the_confidence(confidence, targeted, residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    targets = (labels + 1) % 5 if targeted else None
    found = CarliniWagner(steps=40, norm="Linf", confidence=confidence)(network, images, labels, targets)
    assert (margin(network(found), labels, targets) >= max(confidence, 1e-12)).all()
    # A tenth less is out of reach of PGD's kind of steps, too: the bound has some merit.
    assert ((found - images).abs().flatten(1).amax(1) < 0.2).all()


def test_the_batch_does_not_matter_bit_by_bit(residual, examples):
    network = residual()
    images, labels = examples(network, count=9)
    attack = CarliniWagner(steps=15, norm="Linf")
    whole = attack(MicroBatched(network, 4), images, labels)
    for rows in ([3], [8, 0, 5], list(range(8, -1, -1))):
        assert torch.equal(attack(MicroBatched(network, 4), images[rows], labels[rows]), whole[rows])


@pytest.mark.parametrize(("norm", "module", "total"), [("Linf", "largest_change", 6), ("L2", "search", 2 * 4)])
def test_the_progress_bar_fills_up(norm, module, total, residual, examples, monkeypatch):
    bars = []

    def record(**settings):
        bars.append(tqdm(**settings | {"disable": False, "delay": 0, "file": io.StringIO()}))
        return bars[-1]

    monkeypatch.setattr(f"advscope.attacks.penalty.{module}.tqdm", record)
    network = residual()
    images, labels = examples(network)
    # Two images succeed as they are: the search has no runs for them.
    labels[:2] = (labels[:2] + 1) % 5
    CarliniWagner(steps=5, binary_search_steps=2, polish_steps=0, norm=norm)(network, images, labels)
    assert [(bar.desc, bar.total, bar.n) for bar in bars] == [("CarliniWagner", total, total)]


def test_where_nothing_succeeds_the_last_image_comes_back(residual, examples):
    network = residual()
    images, labels = examples(network)
    found = CarliniWagner(steps=5, norm="Linf", confidence=1e6)(network, images, labels)
    assert (found != images).flatten(1).any(1).all()
    assert found.min() >= 0
    assert found.max() <= 1
    already = CarliniWagner(steps=5, norm="Linf")(network, images, (labels + 1) % 5)
    assert torch.equal(already, images)


def test_the_mask_and_values_at_the_bounds(residual, examples):
    network = residual(dtype=torch.float64)
    images, _ = examples(network, dtype=torch.float64)
    images = images.round()
    labels = network(images).argmax(1)
    mask = torch.zeros(6, 1, 12, 12, dtype=torch.bool)
    mask[..., 3:] = True
    found = CarliniWagner(steps=40, norm="Linf")(network, images, labels, mask=mask)
    assert torch.equal(found[..., :3], images[..., :3])
    assert (network(found).argmax(1) != labels).all()
