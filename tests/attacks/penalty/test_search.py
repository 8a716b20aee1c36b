"""Tests of the search that the attacks share: against one image after another, in plain loops; its cost; its ends."""

import math

import pytest
import torch
from torch import nn

from advscope.attacks import CarliniWagner, ElasticNet, Structured
from advscope.attacks.penalty.adam import AdamSolver
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.penalty.search import Search
from advscope.attacks.penalty.size import ElasticNetSize


def first_constant(hinge, box, size):
    """Return the constants that the search would begin with."""
    search = Search(hinge, box, size, size.value, lambda _: None, 1, 1, 0, None, False, "")
    standing = hinge.at(box.images)
    return search._first_constants(box, standing.lacking, standing.gradients)


def searched(network, image, label, target, steps, runs, confidence, rate, constant, abort):
    """Return what Carlini and Wagner's attack without the last stretch finds for one image, and its passes."""
    passes = 0

    def asked(point):
        nonlocal passes
        passes += 1
        point = point.clone().requires_grad_()
        logits = network(point[None])[0]
        own = label if target is None else target
        other = torch.cat([logits[:own], logits[own + 1 :]]).max()
        margin = other - logits[own] if target is None else logits[own] - other
        (gradient,) = torch.autograd.grad(margin, point)
        margin = margin.item()
        return margin, gradient, margin >= confidence if confidence else margin > 0

    _, _, done = asked(image)
    if done:
        return image, passes
    best, least, lower, upper = None, math.inf, None, None
    for _ in range(runs):
        point, first, second = image, torch.zeros_like(image), torch.zeros_like(image)
        lowest = checked = math.inf
        reached = False
        for step in range(steps):
            margin, gradient, success = asked(point)
            change = point - image
            value = change.square().sum().item()
            if success and value < least:
                best, least = point, value
            reached = reached or success
            if step:
                lowest = min(lowest, value + constant * max(confidence - margin, 0))
            gradient = 2 * change - (0 if success else constant) * gradient
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            speed = rate * 0.1 ** (step / steps) / (1 - 0.9 ** (step + 1))
            scale = (second / (1 - 0.999 ** (step + 1))).sqrt()
            point = (point - speed * torch.where(scale > 0, first / scale, 0)).clamp(0, 1)
            if abort and (step + 1) % max(steps // 10, 1) == 0:
                if step + 1 >= steps / 2 and lowest > 0.9999 * checked:
                    break
                checked, lowest = lowest, math.inf
        if reached:
            upper = constant if upper is None else min(upper, constant)
        else:
            lower = constant if lower is None else max(lower, constant)
        constant = 10 * lower if upper is None else upper / 10 if lower is None else math.sqrt(lower * upper)
    return point if best is None else best, passes


class Counting(nn.Module):
    """Counts the images that pass."""

    def __init__(self, network):
        super().__init__()
        self.network, self.passes = network, []

    def forward(self, images):
        self.passes.append(len(images))
        return self.network(images)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("abort", "confidence", "constant"), [(True, 0.0, 0.05), (True, 1.0, 30.0), (False, 0.0, 1.0)])
def test_equals_one_image_after_another_in_plain_loops(targeted, abort, confidence, constant, smooth):
    network, images, labels = smooth(count=7)
    labels[2] = (labels[2] + 1) % 5  # wrong from the start
    targets = (labels + 1) % 5 if targeted else None
    attack = CarliniWagner(
        steps=60, binary_search_steps=4, confidence=confidence, learning_rate=0.02, initial_constant=constant,
        abort_early=abort, polish_steps=0,
    )  # fmt: skip
    counting = Counting(network)
    found = attack(counting, images, labels, targets)
    total, costs = 0, set()
    for row in range(7):
        target = None if targets is None else targets[row].item()
        wanted, passes = searched(
            network, images[row], labels[row].item(), target, 60, 4, confidence, 0.02, constant, abort
        )
        torch.testing.assert_close(found[row], wanted, rtol=0, atol=1e-9)
        total += passes
        costs.add(passes)
    assert sum(counting.passes) == total
    assert len(costs) > 2 or not abort  # the images do go at paces of their own


ATTACKS = [
    CarliniWagner(steps=40, binary_search_steps=3, polish_steps=4),
    CarliniWagner(steps=40, binary_search_steps=3, polish_steps=4, variable="tanh"),
    ElasticNet(steps=40, binary_search_steps=3, polish_steps=4),
    Structured(steps=40, binary_search_steps=3, polish_steps=4, cell_size=2),
    Structured(steps=40, binary_search_steps=3, polish_steps=4, cell_size=3, stride=2),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_the_cost_is_that_of_the_images_alone(attack, smooth):
    network, images, labels = smooth(count=6)
    labels[[1, 4]] = (labels[[1, 4]] + 1) % 5  # fooled already
    together = Counting(network)
    found = attack(together, images, labels)
    alone = []
    for row in range(6):
        counting = Counting(network)
        single = attack(counting, images[row : row + 1], labels[row : row + 1])
        torch.testing.assert_close(single[0], found[row], rtol=0, atol=1e-6)
        alone.append(sum(counting.passes))
    assert sum(together.passes) == sum(alone)
    assert alone[1] == alone[4] == 1
    assert torch.equal(found[[1, 4]], images[[1, 4]])
    assert together.passes[0] == 6
    assert max(together.passes[1:]) == 4
    assert max(alone) <= 1 + 3 * 40 + 4


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_run_that_stalls_ends_early_only_on_request(attack, smooth):
    network, images, labels = smooth(count=4)
    settings = {name: value for name, value in attack.settings().items() if name != "class"}
    passes = {}
    for abort in (True, False):
        counting = Counting(network)
        # A constant so small that nothing is worth a move: the objective stalls at once, and half the steps are taken.
        patient = type(attack)(**settings | {"abort_early": abort, "initial_constant": 1e-9})
        patient(counting, images, labels)
        passes[abort] = sum(counting.passes)
    assert passes[False] == 4 * (1 + 3 * 40 + 4)
    assert 4 * (1 + 3 * 20 + 4) <= passes[True] < 0.7 * passes[False]


def test_the_first_constant_is_the_multiplier_of_the_linearised_network(affine):
    network, images, labels = affine((1, 3, 4), classes=2)
    hinge, box = Hinge(network, labels, None, 0.5), Box.around(images)
    standing = hinge.at(images)
    slope = standing.gradients.square().sum((1, 2, 3))
    constants = first_constant(hinge, box, ElasticNetSize())
    inside = (standing.lacking / slope)[:, None, None, None] * standing.gradients
    assert (inside.abs() < 0.4).all()
    torch.testing.assert_close(constants, 2 * standing.lacking / slope, rtol=1e-3, atol=0)


def test_the_first_constant_is_of_use_on_the_boundary_and_out_of_reach():
    class Plane(nn.Module):
        def forward(self, images):
            bright = images.mean((1, 2, 3)) - 0.5
            return torch.stack([torch.zeros_like(bright), bright], dim=1)

    images = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    images[1] = 0.1
    labels = torch.zeros(2, dtype=torch.int64)
    for size in (ElasticNetSize(), ElasticNetSize(0.3)):
        # The first lies on the boundary; the second is to gain 1.5, and could gain 0.9: as if it had no bounds.
        constants = first_constant(Hinge(Plane(), labels, None, 0.0), Box.around(images), size)
        gradient = 1 / 16
        assert constants[0].item() == pytest.approx((2 * 1e-3 / 4 + size.l1) / gradient, rel=0.01)
        constants = first_constant(Hinge(Plane(), labels, None, 1.1), Box.around(images), size)
        assert constants[1].item() == pytest.approx((2 * 1.5 + size.l1) / gradient, rel=0.01)


def test_constants_stay_finite_where_nothing_has_a_slope():
    class Flat(nn.Module):
        def forward(self, images):
            return torch.stack([images.sum((1, 2, 3)) * 0 + 3, images.sum((1, 2, 3)) * 0], dim=1)

    images = torch.rand(3, 1, 4, 4)
    constants = first_constant(Hinge(Flat(), torch.zeros(3).long(), None, 0.0), Box.around(images), ElasticNetSize())
    assert constants.isfinite().all()
    assert (constants > 0).all()


class Plateau(nn.Module):
    """The margin hardly grows up to a brightness of 0.6, and a hundredfold from there: a poor linearisation."""

    def forward(self, images):
        bright = images.mean((1, 2, 3))
        margin = torch.where(bright < 0.6, 0.01 * bright - 1, 100 * (bright - 0.6) - 0.994)
        return torch.stack([torch.zeros_like(bright), margin], dim=1)


@pytest.mark.parametrize(
    "attack",
    [
        CarliniWagner(steps=200, learning_rate=0.02, polish_steps=50),
        CarliniWagner(steps=200, learning_rate=0.1, variable="tanh", polish_steps=50),
        ElasticNet(steps=200, polish_steps=50),
        Structured(steps=200, polish_steps=50),
    ],
    ids=str,
)
def test_a_linearisation_that_finds_nothing_in_the_box_spoils_nothing(attack):
    images = torch.tensor([0.4, 0.55]).double().view(2, 1, 1, 1).repeat(1, 1, 4, 4)
    found = attack(Plateau(), images, torch.zeros(2, dtype=torch.int64))
    brightness = found.mean((1, 2, 3))
    assert (brightness > 0.60994).all()
    assert (brightness - images.mean((1, 2, 3)) < 1.05 * (0.60994 - images.mean((1, 2, 3)))).all()


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_an_image_on_the_boundary_is_moved_off_it(attack):
    class Plane(nn.Module):
        def forward(self, images):
            bright = images.mean((1, 2, 3)) - 0.5
            return torch.stack([torch.zeros_like(bright), bright], dim=1)

    # A tie goes to the first class: for the label 0 it is a failure, for the label 1 a success.
    images = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    found = attack(Plane(), images, torch.tensor([0, 1]))
    assert found[0].mean() > 0.5
    assert (found[0] - images[0]).norm() < 0.01
    assert torch.equal(found[1], images[1])


def test_no_bar_is_drawn_where_nobody_looks(smooth, capfd):
    network, images, labels = smooth(count=2)
    ATTACKS[0](network, images, labels)
    assert capfd.readouterr() == ("", "")


def test_the_solver_walks_within_the_search_as_it_is_made(smooth):
    network, images, labels = smooth(count=3)
    made = []

    def solver(box):
        made.append(len(box.images))
        return AdamSolver(box, 10, 0.05, "box", lambda delta: 2 * delta)

    size = ElasticNetSize()
    hinge = Hinge(network, labels, None, 0.0)
    results = Search(hinge, Box.around(images), size, size.value, solver, 10, 2, 0, 1.0, False, "walk").run()
    assert made == [3]
    assert results.shape == images.shape
