"""Tests of FISTA against a plain loop over the values of one image."""

import math

import pytest
import torch

from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.fista import FistaSolver


def twin(image, low, high, slopes, steps, whole, rate=0.2, beta=0.08):
    """Return the y of one image after each step, value by value: algorithm 1 of Chen et al., clipped."""
    points = [torch.empty_like(image) for _ in slopes]
    for place in torch.cartesian_prod(*map(torch.arange, image.shape)).tolist():
        clean, bottom, top = image[*place].item(), low[*place].item(), high[*place].item()
        x = y = clean
        for k, slope in enumerate(slopes):
            length = rate * math.sqrt(1 - k / steps)
            z = y - length * (2 * (y - clean) - slope[*place].item())
            threshold = beta if whole else length * beta
            if z - clean > threshold:
                following = min(z - threshold, top)
            elif z - clean < -threshold:
                following = max(z + threshold, bottom)
            else:
                following = clean
            y = following + k / (k + 3) * (following - x)
            if abs(z - clean) <= threshold:
                y = clean
            x, y = following, min(max(y, bottom), top)
            points[k][*place] = y
    return points


@pytest.mark.parametrize("whole", [False, True])
def test_equals_a_loop_at_any_pace(whole, walk):
    walk(
        lambda box, steps: FistaSolver(box, steps, 0.2, 0.08, whole),
        lambda *arguments: twin(*arguments, whole),
    )


@pytest.mark.parametrize("whole", [False, True])
def test_does_not_depend_on_the_batch_bit_by_bit(whole, alike):
    alike(lambda box, steps: FistaSolver(box, steps, 0.1, 0.02, whole))


def test_values_below_the_threshold_stay_bit_identical():
    images = torch.rand(1, 1, 1, 50, generator=torch.Generator().manual_seed(0))
    solver = FistaSolver(Box.around(images), 30, 0.1, 0.3, False)
    slopes = torch.linspace(-1, 1, 50).view(1, 1, 1, 50)
    for step in range(30):
        solver.advance(slopes, torch.tensor([float(step)]))
    changed = solver.points != images
    assert torch.equal(changed, slopes.abs() > 0.3)
