"""Tests of ADMM against a plain loop over the groups and values of one image."""

import math

import pytest
import torch

from advscope.attacks.penalty.admm import AdmmSolver
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.groups import Groups
from advscope.measures import grid_cells

GAMMA, TAU, RHO, ALPHA = 0.9, 0.5, 4.0, 1.5


def twin(image, low, high, slopes, steps, cell_size, stride, published):
    """Return the group-sparse points of one image after each step, with a dictionary for every copy."""
    places = [tuple(place) for place in torch.cartesian_prod(*map(torch.arange, image.shape)).tolist()]
    cells = grid_cells(image.shape[1], image.shape[2], cell_size, stride).tolist()
    members = [
        [p for p in places if top <= p[1] < bottom and left <= p[2] < right] for top, left, bottom, right in cells
    ]
    z, u, s = dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0)
    v = [dict.fromkeys(group, 0.0) for group in members]
    twice, points = (2 if published else 1), []
    for k, slope in enumerate(slopes, start=1):
        delta = {p: RHO / (RHO + 2 * GAMMA) * (z[p] - u[p]) for p in places}
        w = {}
        for p in places:
            w[p] = min(max(z[p] - s[p], low[p].item() - image[p].item()), high[p].item() - image[p].item())
        y = []
        for group, duals in zip(members, v, strict=True):
            a = {p: z[p] - duals[p] for p in group}
            norm = math.sqrt(sum(value * value for value in a.values()))
            share = 1 - TAU / (RHO * norm) if norm > TAU / RHO else 0.0
            y.append({p: share * value for p, value in a.items()})
        damping = ALPHA * math.sqrt(k)
        fresh, point = {}, image.clone()
        for p in places:
            own = [(copy[p], duals[p]) for copy, duals in zip(y, v, strict=True) if p in copy]
            above = damping * z[p] + twice * RHO * (delta[p] + u[p]) + RHO * (w[p] + s[p])
            above += RHO * sum(copy + dual for copy, dual in own) + slope[p].item()
            fresh[p] = above / (damping + RHO * (twice + 1 + len(own)))
            alive = all(any(copy.values()) for copy in y if p in copy)
            mean = sum(copy for copy, _ in own) / len(own) if alive else 0.0
            point[p] = min(max(image[p].item() + mean, low[p].item()), high[p].item())
        z = fresh
        for p in places:
            u[p] += delta[p] - z[p]
            s[p] += w[p] - z[p]
        for copy, duals in zip(y, v, strict=True):
            for p in copy:
                duals[p] += copy[p] - z[p]
        points.append(point)
    return points


@pytest.mark.parametrize(("cell_size", "stride"), [(2, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize("published", [False, True])
def test_equals_a_loop_at_any_pace(cell_size, stride, published, walk):
    walk(
        lambda box, steps: AdmmSolver(box, steps, Groups(cell_size, stride), GAMMA, TAU, RHO, ALPHA, published),
        lambda *arguments: twin(*arguments, cell_size, stride, published),
        shape=(2, 3, 4),
        scale=2.0,
        tolerance=1e-11,
    )


@pytest.mark.parametrize("stride", [2, 1])
def test_does_not_depend_on_the_batch_bit_by_bit(stride, alike):
    alike(lambda box, steps: AdmmSolver(box, steps, Groups(2, stride), 1.0, 0.05, 4.0, 1.0, False))


def test_a_pixel_of_a_group_without_change_is_bit_identical():
    images = torch.rand(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    slopes = torch.zeros_like(images)
    # Enough for the first window, of nine pixels, not for its neighbours, which have three of them each.
    slopes[0, :, :3, :3] = 0.35
    solver = AdmmSolver(Box.around(images), 30, Groups(3, 2), 1.0, 1.0, 4.0, 1.0, False)
    for step in range(30):
        solver.advance(slopes, torch.tensor([float(step)]))
    changed = (solver.points != images).any(1)[0]
    # The windows begin at 0 and 2: pixel 2 is in a group that changes, and in one that does not.
    assert changed[:2, :2].all()
    assert not changed[2:].any()
    assert not changed[:, 2:].any()
