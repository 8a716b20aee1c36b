"""Tests of EAD against the least elastic nets of affine networks."""

import pytest
import torch
from scipy.optimize import brentq

from advscope.attacks import ElasticNet
from advscope.attacks.losses import margin


def attack(**settings):
    defaults = {"steps": 100, "binary_search_steps": 5, "beta": 0.2, "learning_rate": 0.02, "polish_steps": 20}
    return ElasticNet(**defaults | settings)


def elastic(beta, l2=1.0):
    """Return the elastic net of a perturbation, smoothed at zero."""
    return lambda x: l2 * x.square().sum() + beta * (x.square() + 1e-11).sqrt().sum()


def test_comes_within_ten_percent_of_the_least_elastic_net(affine_problem, least):
    network, images, labels, targets, confidence, bounded = affine_problem
    found = attack(confidence=confidence)(network, images, labels, targets)
    assert (margin(network(found), labels, targets) >= confidence).all()
    values, meets = attack().worth(found - images), []
    for row in range(len(images)):
        target = None if targets is None else targets[row].item()
        best = least(elastic(0.2), network, images[row], labels[row].item(), target, confidence, found[row])
        optimum = attack().worth(best[None])[0].item()
        assert 1 - 1e-3 <= values[row].item() / optimum <= 1.1
        reached = images[row] + best
        meets.append(bool(((reached < 1e-6) | (reached > 1 - 1e-6)).any()))
    assert any(meets) == bounded


@pytest.mark.parametrize("beta", [0.01, 0.3, 2.0])
def test_equals_the_closed_form_of_two_classes(beta, affine):
    network, images, labels = affine((2, 3, 3), 2, 6, 0.1)
    found = attack(beta=beta, confidence=0.8)(network, images, labels)
    weight, sparse = network[1].weight.detach(), []
    for row in range(6):
        slope = weight[1 - labels[row]] - weight[labels[row]]
        lacking = 0.8 - margin(network(images[row : row + 1]), labels[row : row + 1]).item()

        def answer(multiplier, slope=slope):
            return (multiplier * slope - (multiplier * slope).clamp(-beta, beta)) / 2

        def short(multiplier, slope=slope, answer=answer, lacking=lacking):
            return lacking - (slope * answer(multiplier)).sum().item()

        best = answer(brentq(short, 0, 1e4, xtol=1e-13))
        assert best.abs().max() < 0.4
        change = (found[row] - images[row]).flatten()
        value, optimum = (attack(beta=beta).worth(x.view(1, 1, 1, -1)).item() for x in (change, best))
        assert 1 - 1e-9 <= value / optimum <= 1.05
        sparse.append((best == 0).double().mean().item())
        assert ((change == 0) & (best == 0)).sum() >= 0.8 * (best == 0).sum()
    assert max(sparse) > (0.6 if beta == 2 else 0.3 if beta == 0.3 else -1)


def test_the_published_shrinkage_minimises_with_a_larger_beta(affine, least):
    network, images, labels = affine((1, 3, 4), 2, 5, 0.1)
    published = attack(shrinkage="published", beta=0.004, learning_rate=0.02, confidence=0.5)
    found = published(network, images, labels)
    assert (margin(network(found), labels) >= 0.5).all()
    value = elastic(0.2)
    for row in range(5):
        best = least(value, network, images[row], labels[row].item(), None, 0.5, found[row])
        assert 1 - 1e-3 <= value(found[row] - images[row]).item() / value(best).item() <= 1.1
    # The same problem, said the other way.
    plain = attack(beta=0.2, learning_rate=0.02, confidence=0.5)(network, images, labels)
    torch.testing.assert_close(
        attack(beta=0.2).worth(plain - images), attack(beta=0.2).worth(found - images), rtol=0.1, atol=0
    )
    assert (found != images).sum() <= (attack(beta=0.004, confidence=0.5)(network, images, labels) != images).sum()


@pytest.mark.parametrize("shrinkage", ["step", "published"])
def test_the_decision_rule_chooses_among_the_successes(shrinkage, smooth):
    network, images, labels = smooth(count=6)
    found = {}
    for rule in ("EN", "L1"):
        settings = {"beta": 0.02, "learning_rate": 0.05, "shrinkage": shrinkage, "decision_rule": rule}
        found[rule] = attack(**settings, polish_steps=0)(network, images, labels) - images
        assert (network(images + found[rule]).argmax(1) != labels).all()
    l1 = {rule: change.abs().sum((1, 2, 3)) for rule, change in found.items()}
    en = {rule: change.square().sum((1, 2, 3)) + 0.02 * l1[rule] for rule, change in found.items()}
    # The runs are the same, since the rule steers none of them: each choice is the better one by its own measure.
    assert (l1["L1"] <= l1["EN"] + 1e-12).all()
    assert (en["EN"] <= en["L1"] + 1e-12).all()
    if shrinkage == "published":
        assert (l1["L1"] < l1["EN"] - 1e-6).any()


def test_more_weight_on_the_l1_norm_makes_sparser_perturbations(smooth):
    network, images, labels = smooth(count=6)
    changed = []
    for beta in (0.001, 0.05, 0.5):
        found = attack(beta=beta)(network, images, labels)
        assert (network(found).argmax(1) != labels).all()
        changed.append((found != images).sum().item())
    assert changed[0] > 1.3 * changed[1] > 1.3**2 * changed[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0}, "beta must be above 0, got 0"),
        ({"beta": -0.1}, "beta must be a number and not negative, got -0.1"),
        ({"decision_rule": "L2"}, "decision_rule must be one of 'EN', 'L1', got 'L2'"),
        ({"shrinkage": "none"}, "shrinkage must be one of 'step', 'published', got 'none'"),
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        ElasticNet(**settings)
    assert "\n" not in str(error.value)


def test_settings_are_those_given():
    given = {
        "steps": 7, "binary_search_steps": 2, "confidence": 1.5, "beta": 0.5, "decision_rule": "L1",
        "shrinkage": "published", "learning_rate": 0.25, "initial_constant": 0.5, "abort_early": False,
        "polish_steps": 3,
    }  # fmt: skip
    assert ElasticNet(**given).settings() == {"class": "ElasticNet"} | given
