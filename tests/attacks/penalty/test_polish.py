"""Tests of the last stretch along the decision boundary."""

import pytest
import torch
from scipy.optimize import brentq

from advscope.attacks.penalty.best import Best
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.groups import Groups, GroupSize
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.penalty.polish import MOVES, polish
from advscope.attacks.penalty.size import ElasticNetSize

SIZES = {
    "l2": ElasticNetSize(),
    "elastic net": ElasticNetSize(0.4),
    "lasso": GroupSize(Groups(2, 2), l2=1.0, lasso=1.0),
    "overlap": GroupSize(Groups(2, 1), l2=1.0, lasso=1.0),
}


def polished(size, network, images, labels, start, steps=50, confidence=0.0, mask=None):
    """Return the best images, their worth, and the last points."""
    box, best = Box.around(images, mask=mask), Best(images)
    last = polish(Hinge(network, labels, None, confidence), box, box.clip(start), size, size.value, best, steps)
    return best, last


@pytest.mark.parametrize("beta", [0.0, 0.4])
@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_leads_to_the_nearest_point_of_a_plane(beta, spread, affine):
    network, images, labels = affine((1, 3, 4), spread=spread)
    size, weight, standing = (
        ElasticNetSize(beta),
        network[1].weight.detach(),
        Hinge(network, labels, None, 1.0).at(images),
    )
    answers = torch.empty_like(images)
    for row in range(len(images)):
        image, slope = images[row], (weight[1 - labels[row]] - weight[labels[row]]).view(1, 3, 4)

        def answer(multiplier, slope=slope, image=image):
            pull = multiplier * slope
            return ((pull - pull.clamp(-beta, beta)) / 2).maximum(-image).minimum(1 - image)

        def short(multiplier, slope=slope, answer=answer, row=row):
            return standing.lacking[row].item() - (slope * answer(multiplier)).sum().item()

        answers[row] = answer(brentq(short, 0, 1e4, xtol=1e-13))
    at_bounds = ((images + answers == 0) | (images + answers == 1)).any()
    assert at_bounds == (spread == 0.5)
    aside = torch.randn(images.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    aside = 0.6 * aside * (answers.square().sum((1, 2, 3)) / aside.square().sum((1, 2, 3))).sqrt()[:, None, None, None]
    best, _ = polished(size, network, images, labels, images + 1.3 * answers + aside, confidence=1.0)
    ratios = best.worths / size.value(answers)
    assert (ratios >= 1 - 1e-9).all()
    assert (ratios <= 1.01).all()
    assert (network(best.images).argmax(1) != labels).all()


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_what_is_kept_succeeds_within_bounds_and_is_never_worse(name, confidence, smooth):
    network, images, labels = smooth()
    images[0], images[1] = images[0].round(), images[1].round()
    labels = network(images).argmax(1)
    mask = torch.rand(8, 1, 5, 5, generator=torch.Generator().manual_seed(0)) < 0.7
    generator = torch.Generator().manual_seed(1)
    start = torch.rand(images.shape, generator=generator, dtype=torch.float64)
    worths = []
    for steps in (1, 5, 20):
        best, last = polished(SIZES[name], network, images, labels, start, steps, confidence, mask)
        worths.append(best.worths)
        for points in (best.images, last):
            assert points.min() >= 0
            assert points.max() <= 1
            outside = ~mask.expand_as(points)
            assert torch.equal(points[outside], images[outside])
        found = best.worths.isfinite()
        standing = Hinge(network, labels, None, confidence).at(best.images)
        assert standing.reached[found].all()
        assert torch.equal(SIZES[name].value(best.images - images)[found], best.worths[found])
        assert torch.equal(best.images[~found], images[~found])
    # The schedule differs with the number of steps: more of them may be a little worse, but not much.
    assert (worths[2] <= 1.02 * worths[1]).all()
    assert (worths[2] < 0.7 * worths[0])[worths[0].isfinite()].all()
    assert worths[2].isfinite().sum() >= 6


class Awkward(torch.nn.Module):
    """No slope below brightness 0.3, nan above 0.7."""

    def forward(self, images):
        bright = images.mean((1, 2, 3))
        slope = 5 * torch.relu(bright - 0.3) - 1
        return torch.stack([torch.zeros_like(bright), slope + 0 * (0.7 - bright).log()], dim=1)


@pytest.mark.parametrize("name", SIZES)
def test_no_slope_and_nan_lead_nowhere_but_do_no_harm(name):
    images = torch.tensor([0.1, 0.1, 0.25, 0.45]).view(4, 1, 1, 1).repeat(1, 1, 4, 4)
    start = torch.tensor([0.1, 0.9, 0.9, 0.45]).view(4, 1, 1, 1).repeat(1, 1, 4, 4)
    best, last = polished(SIZES[name], Awkward(), images, torch.zeros(4, dtype=torch.int64), start, 30)
    assert last.isfinite().all()
    assert last.min() >= 0
    assert last.max() <= 1
    assert best.images.isfinite().all()
    assert torch.equal(last[0], images[0])
    # From where the answer is nan the way leads back towards the clean image.
    assert (last[1] < start[1]).all()


def test_a_step_is_one_pass_and_none_leaves_everything(smooth):
    network, images, labels = smooth()
    passes = []
    network.register_forward_hook(lambda *_: passes.append(1))
    start = images.flip(0)
    best, last = polished(SIZES["l2"], network, images, labels, start, steps=0)
    assert torch.equal(last, start)
    assert best.worths.isinf().all()
    assert not passes
    polished(SIZES["l2"], network, images, labels, start, steps=7)
    assert len(passes) == 7


def test_moves_are_the_shares_of_the_perturbation_that_are_planned():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).double()
    network[1].weight.data = torch.stack([torch.zeros(12), torch.ones(12)]).double()
    network[1].bias.data = torch.tensor([0.0, -6.0]).double()
    seen = []
    network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach().clone()))
    # From far beyond the boundary, a thousandth from the image, the way is straight and is not over in so many steps.
    images = torch.full((2, 1, 3, 4), 0.4999, dtype=torch.float64)
    start = images + torch.tensor([0.5, 0.25]).view(2, 1, 1, 1)
    polished(SIZES["l2"], network, images, torch.zeros(2, dtype=torch.int64), start, steps=40)
    lengths = torch.stack([(points - images).flatten(1).norm(dim=1) for points in seen])
    shares = (lengths[:-1] - lengths[1:]) / lengths[:-1]
    planned = MOVES[0] * (MOVES[1] / MOVES[0]) ** (torch.arange(39)[:, None] / 40)
    assert ((shares / planned).log().abs() < 0.1).all()
