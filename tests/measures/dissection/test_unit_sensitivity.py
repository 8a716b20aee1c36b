"""Flipped pixels of units: by hand, against a mean of roots, and exact sums."""

import math

import pytest
import torch

from advscope.measures import UnitSensitivity


def test_by_hand() -> None:
    # Roots 2, 4 and 0, 1: means 3 and 0.5; s / sqrt(2) is 1 and 0.5.
    sensitivity = UnitSensitivity(2)
    sensitivity.count(torch.tensor([[4, 0], [16, 1]]), torch.tensor([0, 1]))
    first, second = sensitivity.estimates()
    assert first == pytest.approx((3, 3 - 1.959964, 3 + 1.959964, 2, 0), abs=1e-6)
    assert second == pytest.approx((0.5, 0.5 - 0.979982, 0.5 + 0.979982, 2, 0), abs=1e-6)
    assert sensitivity.values().tolist() == [3, 0.5]


def test_equals_a_mean_of_roots_in_any_order_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    flips = torch.randint(0, 12_545, (301, 7), generator=generator)
    indices = torch.arange(301)
    one, other = UnitSensitivity(7), UnitSensitivity(7)
    one.count(flips, indices)
    for rows in torch.randperm(301, generator=generator).split(13):
        other.count(flips[rows], indices[rows])
    assert torch.equal(one.roots, other.roots)
    assert one.estimates() == other.estimates()
    assert one.values().tolist() == pytest.approx(flips.double().sqrt().mean(0).tolist(), abs=1e-9)
    halves = [1.959963984540054 * math.sqrt(column.var().item() / 301) for column in flips.double().sqrt().T]
    assert [estimate.high - estimate.value for estimate in one.estimates()] == pytest.approx(halves, rel=1e-6)


def test_without_an_image_it_is_undefined() -> None:
    sensitivity = UnitSensitivity(3)
    sensitivity.count(torch.zeros(0, 3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert sensitivity.values().isnan().all()
    assert all(math.isnan(estimate.value) and estimate.n == 0 for estimate in sensitivity.estimates())
