"""Tests of sums that do not depend on the batch."""

import math

import pytest
import torch

from advscope.attacks.row_sums import row_sums, spread


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 75, 1000, 1023])
def test_equals_the_exact_sum_and_does_not_depend_on_the_batch(length):
    values = torch.randn(41, 1, 1, length, generator=torch.Generator().manual_seed(length))
    sums = row_sums(values)
    exact = torch.tensor([math.fsum(row.flatten().tolist()) for row in values])
    torch.testing.assert_close(sums, exact, rtol=0, atol=2e-7 * length)
    for rows in ([7], [40, 3], list(range(40, -1, -1))):
        assert torch.equal(row_sums(values[rows]), sums[rows])
        # Nor on how the values lie in memory, which is what torch.sum follows.
        assert torch.equal(row_sums(values[rows].flatten(1).t().contiguous().t()), sums[rows])


def test_of_nothing_is_nothing_and_the_values_stay():
    assert row_sums(torch.zeros(3, 0)).tolist() == [0, 0, 0]
    assert row_sums(torch.zeros(0, 2, 2)).shape == (0,)
    values = torch.arange(6.0).view(2, 3)
    assert row_sums(values).tolist() == [3, 12]
    assert torch.equal(values, torch.arange(6.0).view(2, 3))
    single = torch.tensor([[5.0]])
    assert row_sums(single).tolist() == [5]
    assert spread(torch.tensor([1.0, 2.0])).shape == (2, 1, 1, 1)
