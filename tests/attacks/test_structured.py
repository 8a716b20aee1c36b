"""Tests of the structured attack against the least group lassos of affine networks."""

import pytest
import torch

from advscope.attacks import Structured
from advscope.attacks.losses import margin
from advscope.measures import grid_cells


def attack(**settings):
    defaults = {
        "steps": 100, "binary_search_steps": 5, "cell_size": 2, "l2": 1.0, "lasso": 1.0, "penalty": 15.0,
        "damping": 5.0, "polish_steps": 20,
    }  # fmt: skip
    return Structured(**defaults | settings)


def lasso(shape, cell_size, stride, l2=1.0, weight=1.0):
    """Return the group lasso of a perturbation, smoothed at zero, cell by cell."""
    cells = grid_cells(*shape[1:], cell_size, stride).tolist()

    def value(x):
        windows = [x[:, top:bottom, left:right] for top, left, bottom, right in cells]
        return l2 * x.square().sum() + weight * sum((window.square().sum() + 1e-11).sqrt() for window in windows)

    return value


def test_comes_within_ten_percent_of_the_least_group_lasso(affine_problem, least):
    network, images, labels, targets, confidence, bounded = affine_problem
    found = attack(confidence=confidence)(network, images, labels, targets)
    assert (margin(network(found), labels, targets) >= confidence).all()
    value, meets = lasso(images.shape[1:], 2, 2), []
    for row in range(len(images)):
        target = None if targets is None else targets[row].item()
        best = least(value, network, images[row], labels[row].item(), target, confidence, found[row])
        assert 1 - 1e-3 <= value(found[row] - images[row]).item() / value(best).item() <= 1.1
        reached = images[row] + best
        meets.append(bool(((reached < 1e-6) | (reached > 1 - 1e-6)).any()))
    assert any(meets) == bounded


def test_the_walk_alone_minimises_what_its_weights_say(affine, least):
    network, images, labels = affine((1, 4, 5), 2, 4, 0.1)
    for l2, weight in ((0.2, 3.0), (6.0, 0.2)):
        settings = {"l2": l2, "lasso": weight, "steps": 300, "polish_steps": 0}
        found = attack(confidence=1.0, **settings)(network, images, labels)
        value = lasso((1, 4, 5), 2, 2, l2, weight)
        for row in range(4):
            best = least(value, network, images[row], labels[row].item(), None, 1.0, found[row])
            assert 1 - 1e-3 <= value(found[row] - images[row]).item() / value(best).item() <= 1.1


@pytest.mark.parametrize(("cell_size", "stride"), [(2, 1), (3, 2)])
@pytest.mark.parametrize("targeted", [False, True])
def test_comes_within_ten_percent_where_groups_overlap(cell_size, stride, targeted, affine, least):
    network, images, labels = affine((1, 4, 5), 3, 4, 0.2)
    targets = (labels + 1) % 3 if targeted else None
    settings = {"cell_size": cell_size, "stride": stride, "lasso": 0.5, "binary_search_steps": 9}
    found = attack(confidence=1.0, **settings)(network, images, labels, targets)
    assert (margin(network(found), labels, targets) >= 1).all()
    value = lasso((1, 4, 5), cell_size, stride, weight=0.5)
    for row in range(4):
        target = None if targets is None else targets[row].item()
        best = least(value, network, images[row], labels[row].item(), target, 1.0, found[row])
        assert 1 - 1e-3 <= value(found[row] - images[row]).item() / value(best).item() <= 1.1


@pytest.mark.parametrize("stride", [None, 1])
def test_the_weights_of_the_published_code_succeed_too(stride, smooth):
    network, images, labels = smooth(count=6)
    values = {}
    for published in (False, True):
        settings = {"stride": stride, "published_weights": published, "lasso": 0.3, "polish_steps": 0, "steps": 60}
        tried = attack(**settings)
        found = tried(network, images, labels)
        assert (network(found).argmax(1) != labels).all()
        values[published] = tried.worth(found - images)
    # Another walk, to nearly the same end.
    assert not torch.equal(values[True], values[False])
    torch.testing.assert_close(values[True], values[False], rtol=0.2, atol=0)


@pytest.mark.parametrize(("eps", "dtype"), [(0.03, torch.float64), (0.1, torch.float32)])
def test_no_value_changes_by_more_than_eps(eps, dtype, smooth):
    network, images, labels = smooth(count=6, dtype=dtype)
    images[0], images[1] = images[0].round(), images[1].round()
    labels = network(images).argmax(1)
    found = attack(eps=eps, lasso=0.05, steps=60)(network, images, labels)
    assert (found - images).abs().max() <= eps + 1e-7
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found - images).abs().max() > 0.99 * eps
    if eps == 0.1:
        assert (network(found).argmax(1) != labels).sum() >= 5
        free = attack(lasso=0.05, steps=60)(network, images, labels)
        assert (free - images).abs().max() > 1.1 * eps


def test_whole_groups_are_left_as_they_are(smooth):
    network, images, labels = smooth(shape=(2, 6, 7), count=4, dtype=torch.float32)
    for stride in (2, 1):
        found = attack(lasso=0.5, stride=stride, steps=60)(network, images, labels)
        assert (network(found).argmax(1) != labels).all()
        changed = (found != images).any(1)
        cells = grid_cells(6, 7, 2, stride).tolist()
        alive = torch.tensor([[bool(row[t:b, left:r].any()) for t, left, b, r in cells] for row in changed])
        assert (~alive).double().mean() > 0.1
    # And a heavier weight leaves more of them.
    counts = []
    for weight in (0.01, 3.0):
        found = attack(lasso=weight, steps=60)(network, images, labels)
        counts.append(((found - images).abs().sum(1).unfold(1, 2, 2).unfold(2, 2, 2).sum((-1, -2)) > 0).sum().item())
    assert counts[0] > 1.5 * counts[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell_size": 0}, "cell_size must be at least 1, got 0"),
        ({"cell_size": 2.5}, "cell_size must be a whole number, got 2.5"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"stride": 3}, "stride must be at most cell_size = 2, got 3: no pixel may lie in no group"),
        ({"l2": 0}, "l2 must be above 0, got 0"),
        ({"lasso": -1}, "lasso must be a number and not negative, got -1"),
        ({"penalty": 0.0}, "penalty must be above 0, got 0.0"),
        ({"damping": -2}, "damping must be a number and not negative, got -2"),
        ({"eps": 0}, "eps must be above 0, got 0"),
        ({"eps": -0.1}, "eps must be a number and not negative, got -0.1"),
        ({"published_weights": 1}, "published_weights must be true or false, got 1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        attack(**settings)
    assert "\n" not in str(error.value)


def test_a_group_larger_than_the_image_is_named_before_the_network_is_asked(smooth):
    network, images, labels = smooth(shape=(3, 5, 4), count=2)
    network.register_forward_hook(lambda *_: pytest.fail("the network was asked"))
    with pytest.raises(ValueError, match="cell_size must be at most the images' 5 x 4 pixels, got 5") as error:
        attack(cell_size=5)(network, images, labels)
    assert "\n" not in str(error.value)


def test_one_group_may_hold_the_whole_image(smooth):
    network, images, labels = smooth(shape=(3, 5, 5), count=4)
    found = attack(cell_size=5, lasso=0.3)(network, images, labels)
    assert (network(found).argmax(1) != labels).all()


def test_settings_are_those_given():
    given = {
        "steps": 7, "binary_search_steps": 2, "confidence": 1.5, "cell_size": 4, "stride": 3, "l2": 0.5, "lasso": 0.25,
        "penalty": 2.0, "damping": 1.0, "eps": 0.5, "published_weights": True, "initial_constant": 0.5,
        "abort_early": False, "polish_steps": 3,
    }  # fmt: skip
    assert Structured(**given).settings() == {"class": "Structured"} | given
