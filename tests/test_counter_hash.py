"""Tests of random numbers that are a function of their counters."""

import math

import pytest
import torch
from scipy import stats

from advscope.counter_hash import hash32, normal, permutation, uniform


def plain_hash(*counters):
    """The same hash in Python's own whole numbers."""

    def mix(x):
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ x >> 16

    state = 0
    for counter in counters:
        state = mix((state + 0x9E3779B9 + counter % 2**32) % 2**32)
        state = mix((state + 0x85EBCA6B + (counter >> 32) % 2**32) % 2**32)
    return state


COUNTERS = [0, 1, -1, 2**31, 2**32 - 1, 2**32, 2**40 + 3, -(2**63), 2**63 - 1]


def test_is_that_of_plain_integers():
    for first in COUNTERS:
        hashed = hash32(first, torch.tensor(COUNTERS), 5)
        assert hashed.tolist() == [plain_hash(first, second, 5) for second in COUNTERS]


def test_counters_broadcast_and_their_place_matters():
    grid = hash32(3, torch.arange(4)[:, None], torch.arange(5))
    assert grid.shape == (4, 5)
    assert grid[1, 2] == hash32(3, torch.tensor(1), 2)
    assert grid[1, 2] != grid[2, 1]
    assert hash32(torch.tensor(0)) != hash32(torch.tensor(0), 0)
    assert grid.min() >= 0
    assert grid.max() < 2**32


def test_needs_a_tensor():
    with pytest.raises(ValueError, match="hash32 takes at least one tensor among its counters, got none"):
        hash32(1, 2)


def test_the_global_random_state_is_not_used():
    before = torch.get_rng_state()
    numbers = uniform(1, torch.arange(10))
    torch.manual_seed(123)
    assert torch.equal(uniform(1, torch.arange(10)), numbers)
    torch.set_rng_state(before)


@pytest.mark.parametrize("axis", range(3))
def test_uniform_is_uniform_along_every_counter(axis):
    counters = [7, 8, 9]
    counters[axis] = torch.arange(20_000)
    numbers = uniform(*counters).double()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    for lag in (1, 2, 3, 32):
        assert abs(stats.pearsonr(numbers[:-lag], numbers[lag:]).statistic) < 4 / math.sqrt(20_000)


def test_normal_is_normal_and_uncorrelated_with_its_neighbours():
    numbers = normal(3, torch.arange(20_000))
    assert numbers.dtype == torch.float32
    assert stats.kstest(numbers, "norm").pvalue > 1e-3
    assert abs(stats.pearsonr(numbers[:-1], numbers[1:]).statistic) < 4 / math.sqrt(20_000)


def test_normal_by_hand():
    # Box-Muller: sqrt(-2 log(1 - u)) cos(2 pi v) of the two streams that end in 1 and 2.
    place = torch.tensor(6)
    first, second = uniform(4, place, 1).item(), uniform(4, place, 2).item()
    expected = math.sqrt(-2 * math.log(1 - first)) * math.cos(2 * math.pi * second)
    assert normal(4, place).item() == pytest.approx(expected, rel=1e-6)


def test_permutation_holds_each_place_once_and_follows_its_counters():
    order = permutation(1000, 1, 2)
    assert order.sort().values.tolist() == list(range(1000))
    assert torch.equal(order, permutation(1000, 1, 2))
    assert (order == permutation(1000, 1, 3)).float().mean() < 0.02
    assert (order == torch.arange(1000)).float().mean() < 0.02
    assert permutation(0, 1).tolist() == []
    # Where each of 5 things goes first is uniform over many counters.
    counts = torch.stack([permutation(5, 9, epoch)[0] for epoch in range(1000)]).bincount(minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_numbers_are_the_same_on_cpu_and_gpu():
    places = torch.arange(100_000)
    assert torch.equal(hash32(1, places.cuda(), 2).cpu(), hash32(1, places, 2))
    assert torch.equal(uniform(1, places.cuda()).cpu(), uniform(1, places))
    torch.testing.assert_close(normal(1, places.cuda()).cpu(), normal(1, places), rtol=1e-6, atol=1e-6)
