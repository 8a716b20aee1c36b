"""Tests of Adam against a plain loop over the values of one image."""

import math

import pytest
import torch

from advscope.attacks.penalty.adam import AdamSolver
from advscope.attacks.penalty.box import Box


def twin(image, low, high, slopes, steps, variable, rate=0.05):
    """Return the points of one image after each step, value by value."""
    points = [torch.empty_like(image) for _ in slopes]
    for place in torch.cartesian_prod(*map(torch.arange, image.shape)).tolist():
        clean, bottom, top = image[*place].item(), low[*place].item(), high[*place].item()
        middle, half = (top + bottom) / 2, 1.01 * (top - bottom) / 2
        value, first, second = clean, 0.0, 0.0
        w = math.atanh((clean - middle) / half) if half else 0.0
        for step, slope in enumerate(slopes):
            gradient = 2 * (value - clean) - slope[*place].item()
            if variable == "tanh":
                gradient *= half * (1 - math.tanh(w) ** 2)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient * gradient
            corrected = first / (1 - 0.9 ** (step + 1)), math.sqrt(second / (1 - 0.999 ** (step + 1)))
            move = rate * 0.1 ** (step / steps) * corrected[0] / corrected[1] if corrected[1] else 0.0
            if variable == "tanh":
                w -= move
                value = middle + half * math.tanh(w)
            else:
                value -= move
            value = min(max(value, bottom), top)
            points[step][*place] = value
    return points


def doubled(perturbations):
    return 2 * perturbations


@pytest.mark.parametrize("variable", ["box", "tanh"])
def test_equals_a_loop_at_any_pace(variable, walk):
    walk(
        lambda box, steps: AdamSolver(box, steps, 0.05, variable, doubled),
        lambda *arguments: twin(*arguments, variable),
        tolerance=1e-9 if variable == "tanh" else 1e-12,
    )


@pytest.mark.parametrize("variable", ["box", "tanh"])
def test_does_not_depend_on_the_batch_bit_by_bit(variable, alike):
    alike(lambda box, steps: AdamSolver(box, steps, 0.05, variable, doubled))


@pytest.mark.parametrize("variable", ["box", "tanh"])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_scale_of_the_gradient_sets_no_scale_of_the_walk(variable, scale, walk):
    # Adam's usual small number would stop the smallest and change the others.
    solvers = {}
    for factor in (scale, 1.0):

        def make(box, steps, factor=factor):
            solvers[factor] = AdamSolver(box, steps, 0.05, variable, lambda delta: 2 * factor * delta)
            advance = solvers[factor].advance
            solvers[factor].advance = lambda slopes, step: advance(factor * slopes, step)
            return solvers[factor]

        walk(make, lambda *arguments: twin(*arguments, variable), tolerance=1e-9)


def test_a_value_at_a_bound_can_move_and_a_fixed_one_cannot():
    images = torch.tensor([0.0, 1.0, 1.0]).view(1, 1, 1, 3)
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    solver = AdamSolver(Box.around(images, mask=mask), 20, 0.1, "tanh", doubled)
    for step in range(20):
        solver.advance(torch.tensor([1.0, -1.0, -1.0]).view(1, 1, 1, 3), torch.tensor([float(step)]))
    moved = solver.points.flatten()
    assert 0.01 < moved[0] < 1
    assert 0 < moved[1] < 0.99
    assert moved[2] == 1
