"""Correlations, against scipy."""

import numpy as np
import pytest
import scipy.stats
import torch

from advscope.measures import correlations
from advscope.measures.correlations import kendall, pearson


def rows(count=40, length=23):
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(count, length, generator=generator, dtype=torch.float64)
    second = first * torch.linspace(-1, 1, count).double()[:, None] + torch.randn(count, length, generator=generator)
    first[::3] = (2 * first[::3]).round()  # ties in one
    second[::4] = second[::4].round()  # and in the other, or in both
    return first, second


@pytest.mark.parametrize("ours", [pearson, kendall])
def test_equals_scipy_with_and_without_ties(ours):
    theirs = {pearson: scipy.stats.pearsonr, kendall: scipy.stats.kendalltau}[ours]
    first, second = rows()
    expected = [theirs(one, other).statistic for one, other in zip(first.numpy(), second.numpy(), strict=True)]
    assert np.allclose(ours(first, second), expected, rtol=0, atol=1e-12)
    assert np.ptp(expected) > 1  # the rows do cover the range


def test_kendall_of_many_rows_is_that_of_each(monkeypatch):
    first, second = rows()
    whole = kendall(first, second)
    monkeypatch.setattr(correlations, "_PAIRS_AT_ONCE", 23 * 23 * 7)  # 7 rows at a time, and a rest
    assert torch.equal(kendall(first, second), whole)
    monkeypatch.setattr(correlations, "_PAIRS_AT_ONCE", 1)
    assert torch.equal(kendall(first, second), whole)


@pytest.mark.parametrize("ours", [pearson, kendall])
def test_is_undefined_for_a_constant_or_a_nan(ours):
    first = torch.tensor([[0.1] * 7, [1.0, 2, 3, 4, 5, 6, 7], [1.0, 2, torch.nan, 4, 5, 6, 7]])
    second = torch.arange(7.0).repeat(3, 1)
    # Seven times 0.1 has a rounded mean: the deviations are not quite zero, and still there is no variation.
    assert ours(first, second).isnan().tolist() == [True, False, True]
    assert ours(second, first).isnan().tolist() == [True, False, True]


@pytest.mark.parametrize("ours", [pearson, kendall])
def test_scale_and_shift_change_nothing(ours):
    first, second = rows()
    for scale in (1e-160, 1e-3, 1e160):
        assert torch.allclose(ours(first * scale, second * 3), ours(first, second), atol=1e-12)
    assert torch.allclose(ours(-first, second), -ours(first, second), atol=1e-12)


@pytest.mark.parametrize("ours", [pearson, kendall])
def test_refuses_other_shapes(ours):
    with pytest.raises(ValueError, match=r"one shape \(N, m\), m > 0, got \(2, 3\) and \(2, 4\)"):
        ours(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(ValueError, match="m > 0"):
        ours(torch.ones(2, 0), torch.ones(2, 0))
