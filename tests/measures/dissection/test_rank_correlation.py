"""Tests of rank correlations."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import kendalltau, spearmanr
from torch import Tensor

from advscope.intervals import Estimate
from advscope.measures.dissection.rank_correlation import kendall_estimate, spearman_estimate

BOTH = pytest.mark.parametrize("correlate", [spearman_estimate, kendall_estimate])


def pairs(seed: int, count: int, ties: bool = False, linked: float = 0.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, own = torch.randn(2, count, generator=generator, dtype=torch.float64)
    second = linked * first + own
    return ((3 * first).round(), (2 * second).round()) if ties else (first, second)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [4, 5, 30, 300])
def test_values_are_scipys(count: int, ties: bool) -> None:
    first, second = pairs(count, count, ties)
    assert spearman_estimate(first, second).value == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    assert kendall_estimate(first, second).value == pytest.approx(kendalltau(first, second).statistic, abs=1e-12)


def test_intervals_by_hand() -> None:
    first, second = torch.arange(10.0), torch.tensor([2.0, 0, 1, 5, 3, 4, 9, 6, 8, 7])
    # Squared differences of ranks add up to 26; 8 of the 45 pairs are discordant.
    rho, tau = 1 - 6 * 26 / (10 * 99), (37 - 8) / 45
    found = spearman_estimate(first, second)
    half = 1.959963984540054 * math.sqrt((1 + rho**2 / 2) / 7)
    assert found == pytest.approx((rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half), 10, 0))
    found = kendall_estimate(first, second)
    half = 1.959963984540054 * math.sqrt(0.437 / 6)
    assert found == pytest.approx((tau, math.tanh(math.atanh(tau) - half), math.tanh(math.atanh(tau) + half), 10, 0))


@pytest.mark.parametrize(("correlate", "truth"), [
    (spearman_estimate, 6 / math.pi * math.asin(0.25)), (kendall_estimate, 2 / math.pi * math.asin(0.5)),
])  # fmt: skip
def test_intervals_hold_the_truth_in_95_of_100(correlate: Callable[..., Estimate], truth: float) -> None:
    # Of a bivariate normal with correlation 1/2.
    held = 0
    for seed in range(800):
        found = correlate(*pairs(seed, 60, linked=1 / math.sqrt(3)))
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 800 <= 0.97


@BOTH
def test_order_scale_and_monotone_changes_do_not_matter(correlate: Callable[..., Estimate]) -> None:
    first, second = pairs(7, 200, ties=True)
    found = correlate(first, second)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    assert correlate(first[order], second[order]) == found
    assert correlate(second, first) == found
    assert correlate((first / 5).exp(), 1e6 * second - 7) == found
    opposite = correlate(-first, second)
    assert (opposite.value, opposite.low) == pytest.approx((-found.value, -found.high))


@BOTH
def test_undefined_ones_are_left_out_and_counted(correlate: Callable[..., Estimate]) -> None:
    first, second = pairs(8, 20)
    more = torch.tensor([torch.nan, 1.0, torch.nan])
    found = correlate(torch.cat([first, more]), torch.cat([second, more.roll(1)]))
    assert found == correlate(first, second)._replace(undefined=3)
    assert found.n == 20


@BOTH
def test_undefined_where_there_is_nothing_to_rank(correlate: Callable[..., Estimate]) -> None:
    for first, second in ((torch.ones(9), torch.arange(9.0)), (torch.arange(9.0), torch.full((9,), 0.1))):
        found = correlate(first, second)
        assert all(map(math.isnan, found[:3]))
        assert found.n == 9
    for count in (0, 3):
        found = correlate(torch.arange(float(count)), torch.arange(float(count)))
        assert all(map(math.isnan, found[:3]))
        assert found.n == count


@BOTH
def test_a_perfect_order_has_no_interval(correlate: Callable[..., Estimate]) -> None:
    for sign in (1, -1):
        found = correlate(torch.arange(50.0), sign * torch.arange(50.0) ** 3)
        assert found.value == sign
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    few = torch.tensor([1.0, 3.0, 2.0, 4.0])
    assert not math.isnan(spearman_estimate(torch.arange(4.0), few).low)
    assert math.isnan(kendall_estimate(torch.arange(4.0), few).low)


@BOTH
def test_shapes_are_checked(correlate: Callable[..., Estimate]) -> None:
    with pytest.raises(ValueError, match=r"one shape \(n,\), got \(4,\) and \(5,\)"):
        correlate(torch.rand(4), torch.rand(5))
