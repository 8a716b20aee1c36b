"""Tests of what the network says of perturbed images."""

import math

import pytest
import torch
from torch import nn

from advscope.attacks.penalty.hinge import Hinge


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("confidence", [0.0, 0.7])
def test_equals_a_loop_and_finite_differences(targeted, confidence, smooth):
    network, points, labels = smooth(count=6)
    labels[1] = (labels[1] + 1) % 5
    targets = (labels + 1) % 5 if targeted else None
    standing = Hinge(network, labels, targets, confidence).at(points)
    direction = torch.randn(points.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def margin(point, row):
        logits = network(point[None]).detach()[0].tolist()
        own = (labels if targets is None else targets)[row].item()
        other = max(value for place, value in enumerate(logits) if place != own)
        return other - logits[own] if targets is None else logits[own] - other

    for row in range(6):
        value = margin(points[row], row)
        assert standing.lacking[row].item() == pytest.approx(confidence - value, abs=1e-12)
        assert standing.reached[row].item() == (value >= confidence if confidence else value > 0)
        change = margin(points[row] + 1e-6 * direction[row], row) - margin(points[row] - 1e-6 * direction[row], row)
        assert (standing.gradients[row] * direction[row]).sum().item() == pytest.approx(change / 2e-6, rel=1e-5)
    part = Hinge(network, labels, targets, confidence).rows(torch.tensor([5, 1])).at(points[[5, 1]])
    for whole, rows in zip(standing, part, strict=True):
        torch.testing.assert_close(rows, whole[[5, 1]], rtol=0, atol=1e-12)
    assert not points.requires_grad


class Logarithm(nn.Module):
    """Logits with nan beyond brightness 0.6, whose gradient is finite there."""

    def forward(self, images):
        bright = images.mean((1, 2, 3))
        return torch.stack([(0.6 - bright).log(), bright], dim=1)


def test_nan_is_no_success_and_has_no_direction():
    points = torch.tensor([0.3, 0.7, 0.599]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    standing = Hinge(Logarithm(), torch.ones(3, dtype=torch.int64), None, 0.0).at(points)
    assert standing.lacking[1] == math.inf
    assert standing.lacking[[0, 2]].isfinite().all()
    assert standing.reached.tolist() == [False, False, False]
    assert (standing.gradients[1] == 0).all()
    assert (standing.gradients[[0, 2]] != 0).all()


def test_a_network_without_gradient_is_named():
    network = nn.Flatten()
    points = torch.rand(2, 1, 2, 2)
    hinge = Hinge(lambda images: network(images).detach(), torch.tensor([0, 1]), None, 0.0)
    with pytest.raises(ValueError, match="the network's logits have no gradient towards the images") as error:
        hinge.at(points)
    assert "\n" not in str(error.value)
