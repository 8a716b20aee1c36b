"""Tests of the least perturbation that fools the linearised network, against scipy."""

import numpy as np
import pytest
import torch
from scipy.optimize import LinearConstraint, minimize

from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.groups import Groups, GroupSize
from advscope.attacks.penalty.linear_step import linear_step
from advscope.attacks.penalty.size import ElasticNetSize

SIZES = {
    "l2": ElasticNetSize(),
    "elastic net": ElasticNetSize(0.3),
    "l1": ElasticNetSize(5.0),
    "lasso": GroupSize(Groups(2, 2), l2=1.0, lasso=2.0),
    "little l2": GroupSize(Groups(2, 2), l2=0.01, lasso=0.5),
    "much l2": GroupSize(Groups(2, 2), l2=100.0, lasso=0.5),
}


def problem(seed=0, count=6):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 3, 4, generator=generator, dtype=torch.float64)
    perturbations = 0.1 * torch.randn(images.shape, generator=generator, dtype=torch.float64)
    perturbations = (images + perturbations).clamp(0, 1) - images
    gradients = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    return images, perturbations, gradients


def solved(size, gradient, perturbation, lacking, weight, low, high):
    """Return the minimum of the problem for one image by scipy's SLSQP, smoothed at zero."""

    def function(flat):
        point = torch.tensor(flat).view(1, *gradient.shape).requires_grad_()
        value = weight * (point - perturbation).square().sum()
        if isinstance(size, GroupSize):
            norms = (size.groups.copies(point).square().sum(1) + 1e-12).sqrt().sum()
            value = value + size.l2 * point.square().sum() + size.lasso * norms
        else:
            value = value + point.square().sum() + size.l1 * (point.square() + 1e-12).sqrt().sum()
        return value.item(), torch.autograd.grad(value, point)[0].flatten().numpy()

    needed = lacking + (gradient * perturbation).sum().item()
    constraint = LinearConstraint(gradient.flatten().numpy()[None], needed, np.inf)
    bounds = list(zip(low.flatten().tolist(), high.flatten().tolist(), strict=True))
    start = (gradient * needed / gradient.square().sum()).flatten().numpy()
    options = {"ftol": 1e-11, "maxiter": 300}
    best = minimize(function, start, jac=True, bounds=bounds, constraints=[constraint], options=options)
    assert gradient.flatten().numpy() @ best.x >= needed - 1e-6
    return best.fun


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("weight", [0.0, 4.0])
@pytest.mark.parametrize("boxed", [False, True])
def test_equals_scipy(name, weight, boxed):
    size = SIZES[name]
    images, perturbations, gradients = problem()
    far = 100.0
    box = Box(images, images - far, images + far)
    lacking = torch.tensor([0.0, 0.2, 1.0, 2.0, 3.0, -0.5], dtype=torch.float64)
    if boxed and not isinstance(size, GroupSize):  # clipping is exact for sums over values alone
        box = Box.around(images)
    weights = torch.full((6,), weight, dtype=torch.float64)
    moved, multipliers = linear_step(size, box, perturbations, gradients, lacking, weights)
    reach = (gradients * (moved - perturbations)).sum((1, 2, 3))
    assert (reach >= lacking - 1e-9).all()
    assert (multipliers >= 0).all()
    values = size.value(moved) + weights * (moved - perturbations).square().sum((1, 2, 3))
    active = ((images + moved - box.lower) < 1e-9) | ((box.upper - images - moved) < 1e-9)
    assert active.flatten(1).any(1)[4] == boxed or isinstance(size, GroupSize)
    for row in (0, 2, 4, 5):
        low, high = box.lower[row] - images[row], box.upper[row] - images[row]
        best = solved(size, gradients[row], perturbations[row], lacking[row].item(), weight, low, high)
        assert values[row].item() == pytest.approx(best, rel=1e-3, abs=1e-4)  # the smoothing is worth 6e-5


def test_the_multiplier_weighs_the_margin_as_the_constant_does():
    images, perturbations, gradients = problem()
    box, size = Box.around(images), ElasticNetSize(0.3)
    zeros = torch.zeros(6, dtype=torch.float64)
    moved, multipliers = linear_step(size, box, perturbations * 0, gradients, zeros + 1.5, zeros)
    # Minimising size - multiplier * margin of the linearised network gives the same perturbation.
    shrunk = size.shrunk(multipliers[:, None, None, None] * gradients, zeros, moved)
    torch.testing.assert_close(box.clip(images + shrunk) - images, moved, rtol=0, atol=1e-12)


def test_where_nothing_is_lacking_or_nothing_helps():
    images, perturbations, gradients = problem()
    gradients[1] = 0
    box = Box.around(images)
    lacking = torch.tensor([-9.0, 1.0, 1e6, torch.inf, 1.0, -torch.inf], dtype=torch.float64)
    box.upper[4], box.lower[4] = images[4], images[4]
    perturbations[4] = 0
    weights = torch.full((6,), 3.0, dtype=torch.float64)
    for size in SIZES.values():
        moved, multipliers = linear_step(size, box, perturbations, gradients, lacking, weights)
        assert moved.isfinite().all()
        assert multipliers.isfinite().all()
        free = size.shrunk(6 * perturbations, weights, perturbations)
        free = box.clip(images + free) - images
        for row in (0, 1, 3, 5):  # enough already, no slope, an unknown margin, more than enough
            torch.testing.assert_close(moved[row], free[row])
        # Out of reach: the corner of the box.
        corner = torch.where(gradients[2] > 0, box.upper[2], box.lower[2]) - images[2]
        torch.testing.assert_close(moved[2], corner)
        assert (moved[4] == 0).all()


@pytest.mark.parametrize("name", SIZES)
def test_does_not_depend_on_the_batch_bit_by_bit(name):
    images, perturbations, gradients = (values.float() for values in problem(count=21))
    box = Box.around(images)
    lacking = torch.linspace(-1, 5, 21)
    weights = torch.linspace(0, 9, 21)
    whole, _ = linear_step(SIZES[name], box, perturbations, gradients, lacking, weights)
    for rows in ([20], [3, 0], list(range(20, -1, -1))):
        rows = torch.tensor(rows)
        part = (perturbations[rows], gradients[rows], lacking[rows], weights[rows])
        assert torch.equal(linear_step(SIZES[name], box.rows(rows), *part)[0], whole[rows])
