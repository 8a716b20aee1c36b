"""Tests of the attack of Carlini and Wagner against the nearest points of affine networks."""

import pytest
import torch

from advscope.attacks import CarliniWagner
from advscope.attacks.losses import margin


def attack(variable, **settings):
    rate = {"box": 0.02, "tanh": 0.1}[variable]
    defaults = {"steps": 100, "binary_search_steps": 5, "learning_rate": rate, "polish_steps": 20}
    return CarliniWagner(**defaults | {"variable": variable} | settings)


@pytest.mark.parametrize("variable", ["box", "tanh"])
def test_comes_within_five_percent_of_the_nearest_image(variable, affine_problem, least):
    network, images, labels, targets, confidence, bounded = affine_problem
    found = attack(variable, confidence=confidence)(network, images, labels, targets)
    assert (margin(network(found), labels, targets) >= confidence).all()
    changes, meets = found - images, []
    for row in range(len(images)):
        target = None if targets is None else targets[row].item()
        best = least(
            lambda x: x.square().sum(), network, images[row], labels[row].item(), target, confidence, found[row]
        )
        ratio = changes[row].norm() / best.norm()
        assert 1 - 1e-4 <= ratio <= 1.05
        reached = images[row] + best
        meets.append(bool(((reached < 1e-6) | (reached > 1 - 1e-6)).any()))
        if len(network[1].bias) == 2 and not meets[-1]:
            # Two classes, no bound in the way: the distance to a plane.
            other = 1 - labels[row].item()
            slope = network[1].weight[other] - network[1].weight[labels[row]]
            distance = (confidence - margin(network(images[row : row + 1]), labels[row : row + 1])[0]) / slope.norm()
            assert best.norm().item() == pytest.approx(distance.item(), rel=1e-4)
    assert any(meets) == bounded


@pytest.mark.parametrize("variable", ["box", "tanh"])
def test_the_published_algorithm_comes_close_too(variable, affine, least):
    # Without the last stretch and from the published constant, with steps enough for ten decades.
    network, images, labels = affine((1, 4, 4), 3, 5, 0.2)
    published = attack(variable, confidence=1.0, polish_steps=0, initial_constant=1e-3, binary_search_steps=7)
    found = published(network, images, labels)
    assert (margin(network(found), labels) >= 1).all()
    for row in range(5):
        best = least(lambda x: x.square().sum(), network, images[row], labels[row].item(), None, 1.0, found[row])
        assert 1 - 1e-4 <= (found[row] - images[row]).norm() / best.norm() <= 1.15


def test_both_variables_agree_on_a_curved_network(smooth):
    network, images, labels = smooth(count=6)
    norms = {}
    for variable in ("box", "tanh"):
        found = attack(variable, polish_steps=50)(network, images, labels)
        assert (network(found).argmax(1) != labels).all()
        norms[variable] = (found - images).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms["box"], norms["tanh"], rtol=0.01, atol=0)


@pytest.mark.parametrize("variable", ["box", "tanh"])
def test_pixels_without_a_slope_come_back_as_they_are(variable, smooth):
    network, images, labels = smooth(shape=(1, 4, 4), count=5, dtype=torch.float32)
    with torch.no_grad():
        network[1].weight[:, 8:] = 0
        labels = network(images).argmax(1)
    found = attack(variable)(network, images, labels)
    assert (network(found).argmax(1) != labels).all()
    assert torch.equal(found[:, :, 2:], images[:, :, 2:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0"),
        ({"learning_rate": -0.1}, "learning_rate must be a number and not negative, got -0.1"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number and not negative, got inf"),
        ({"variable": "pixels"}, "variable must be one of 'box', 'tanh', got 'pixels'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        CarliniWagner(**settings)
    assert "\n" not in str(error.value)


def test_settings_are_those_given():
    given = {
        "steps": 7, "binary_search_steps": 2, "confidence": 1.5, "learning_rate": 0.25, "variable": "tanh",
        "initial_constant": 0.5, "abort_early": False, "polish_steps": 3, "norm": "Linf",
    }  # fmt: skip
    assert CarliniWagner(**given).settings() == {"class": "CarliniWagner"} | given
    assert CarliniWagner(**given) == CarliniWagner(**given) != CarliniWagner()
