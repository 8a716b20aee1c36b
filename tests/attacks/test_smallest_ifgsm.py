"""Tests of IFGSM at the smallest budget that succeeds."""

import math

import pytest
import torch
from torch import nn

from advscope.attacks import IFGSM, SmallestIFGSM
from advscope.attacks.losses import margin


def loop(attack, network, image, label, target):
    """Return the first success of one image over the grid, by IFGSM itself, and its eps."""

    def success(candidate):
        logits = network(candidate)
        wished = logits.argmax(1) != label if target is None else logits.argmax(1) == target
        return bool(wished) and (attack.confidence == 0 or bool(margin(logits, label, target) >= attack.confidence))

    if success(image):
        return image, 0.0
    places = round(attack.highest / attack.resolution)
    for place in range(1, places + 1):
        eps = place * attack.resolution
        found = IFGSM(eps, steps=attack.steps, norm=attack.norm, loss=attack.loss)(network, image, label, target)
        if success(found):
            return found, eps
    return found, math.inf


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    "attack",
    [
        SmallestIFGSM(steps=3, resolution=0.004, highest=0.04),
        SmallestIFGSM(steps=4, resolution=0.004, highest=0.04, loss="margin", confidence=0.1),
        SmallestIFGSM(steps=3, norm="L2", resolution=0.06, highest=0.6),
    ],
    ids=str,
)
def test_equals_a_loop_over_the_budgets(attack, targeted, residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, count=10, dtype=torch.float64)
    labels[3] = (labels[3] + 1) % 5  # wrong from the start
    targets = (labels + 2) % 5 if targeted else None
    found = attack(network, images, labels, targets)
    budgets = set()
    for row in range(10):
        one = slice(row, row + 1)
        expected, eps = loop(attack, network, images[one], labels[one], None if targets is None else targets[one])
        budgets.add(eps)
        if attack.norm == "Linf":
            assert torch.equal(found[one], expected)
        else:
            torch.testing.assert_close(found[one], expected, rtol=0, atol=1e-12)
    assert len(budgets) > 3


def test_a_linear_network_gives_way_at_its_margin_over_the_l1_norm():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
    images = torch.rand(8, 3, 2, 2, dtype=torch.float64) * 0.2 + 0.4
    labels = network(images).argmax(1)
    weight = network[1].weight.detach()
    slope = (weight[0] - weight[1]).abs().sum()
    for confidence in (0.0, 0.05):
        found = SmallestIFGSM(resolution=0.001, highest=0.3, confidence=confidence)(network, images, labels)
        exact = (confidence - margin(network(images), labels)) / slope
        expected = (exact / 0.001).ceil() * 0.001
        torch.testing.assert_close((found - images).abs().amax((1, 2, 3)), expected.detach(), rtol=0, atol=1e-12)


class Window(nn.Module):
    """Class 1 lies in a window of brightness alone, with a slope towards it everywhere."""

    def forward(self, images):
        bright = images.mean((1, 2, 3))
        inside = (bright > 0.515) & (bright < 0.525)
        return torch.stack([torch.zeros_like(bright), torch.where(inside, 1.0, -1.0) + 1e-3 * bright], dim=1)


def test_the_smallest_success_is_found_where_more_budget_fails():
    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    found = SmallestIFGSM(resolution=0.01, highest=0.08)(Window(), images, labels)
    torch.testing.assert_close(found, torch.full_like(images, 0.52))
    assert Window()(IFGSM(0.04)(Window(), images, labels)).argmax() == 0


def test_an_image_that_withstands_is_returned_at_the_highest_budget():
    images, labels = torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, dtype=torch.int64)
    images[1] = 0.3
    found = SmallestIFGSM(resolution=0.01, highest=0.1)(Window(), images, labels)
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor([0.52, 0.4]))


class Brightness(nn.Module):
    """Class 1 is a bright image: logits (0, 10 (mean - 0.5)); counts the images that pass."""

    def __init__(self):
        super().__init__()
        self.passes = []

    def forward(self, images):
        self.passes.append(len(images))
        bright = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([torch.zeros_like(bright), bright], dim=1)


def grey(values):
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()


def test_an_image_that_succeeds_leaves_the_batch():
    network, images = Brightness(), grey([0.4, 0.515, 0.535, 0.535])
    mask = torch.ones(4, 1, 2, 2, dtype=torch.bool)
    mask[3] = False
    found = SmallestIFGSM(steps=2, resolution=0.01, highest=0.5)(network, images, torch.ones(4).long(), mask=mask)
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor([0.4, 0.495, 0.495, 0.535]))
    # The clean pass, then two gradients and a look for each budget: two images for two of them, one for two more.
    assert network.passes == [4] + [2] * 6 + [1] * 6


def test_a_clean_image_is_a_success_if_its_margin_is():
    labels = torch.ones(2, dtype=torch.int64)
    attack = SmallestIFGSM(resolution=0.01, highest=0.5, confidence=0.5)
    found = attack(Brightness(), grey([0.44, 0.47]), labels)
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor([0.44, 0.45]))


def test_nothing_is_shown_where_nobody_looks(capfd):
    SmallestIFGSM(resolution=0.01, highest=0.5)(Brightness(), grey([0.9]), torch.ones(1).long())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"norm": "L1"}, "norm must be one of 'Linf', 'L2', got 'L1'"),
        ({"resolution": 0}, "resolution must be positive, got 0"),
        ({"resolution": -0.1}, "resolution must be a number and not negative, got -0.1"),
        ({"resolution": 0.3}, "highest must be a multiple of resolution = 0.3, got 1.0"),
        ({"highest": 0}, "highest must be a multiple of resolution = 0.001, got 0"),
        ({"highest": float("inf")}, "highest must be a number and not negative, got inf"),
        ({"loss": "hinge"}, "loss must be one of 'cross_entropy', 'margin', 'dlr', got 'hinge'"),
        ({"confidence": -1}, "confidence must be a number and not negative, got -1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SmallestIFGSM(**settings)


def test_settings_are_those_given():
    assert SmallestIFGSM().settings() == {
        "class": "SmallestIFGSM", "steps": 10, "norm": "Linf", "resolution": 0.001, "highest": 1.0,
        "loss": "cross_entropy", "confidence": 0.0,
    }  # fmt: skip
    assert SmallestIFGSM().budgets == 1000
