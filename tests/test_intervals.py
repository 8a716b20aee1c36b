"""Intervals, against scipy and hand calculations."""

import math

import numpy as np
import pytest
import scipy.stats

from advscope.intervals import Z95, Estimate, jackknife, mean, rate


def test_the_quantile_is_that_of_the_normal_distribution():
    assert scipy.stats.norm.ppf(0.975) == Z95


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 40), (997, 1000), (5000, 10000)])
def test_rate_equals_scipys_wilson_interval(successes, n):
    theirs = scipy.stats.binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
    estimate = rate(successes, n)
    assert estimate == pytest.approx((successes / n, theirs.low, theirs.high, n, 0), abs=1e-12)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_rate_by_hand():
    # p = 1/2, n = 4, z^2 = 3.8415: the centre is 1/2, the half width z / (1 + z^2/4) * sqrt(1/16 + z^2/64) = 0.35.
    z = 1.959964
    half = z / (1 + z**2 / 4) * math.sqrt(1 / 16 + z**2 / 64)
    assert rate(2, 4) == pytest.approx((0.5, 0.5 - half, 0.5 + half, 4, 0), abs=1e-6)


def test_mean_by_hand():
    # 1, 2, 3, 6: sum 12, squares 50, mean 3, variance (50 - 36) / 3, half 1.96 sqrt(14 / 3 / 4).
    half = 1.959964 * math.sqrt(14 / 12)
    assert mean(12, 50, 4, undefined=2) == pytest.approx((3, 3 - half, 3 + half, 4, 2), abs=1e-6)


def test_mean_equals_scipy():
    values = np.random.default_rng(0).normal(3, 2, 500)
    low, high = scipy.stats.norm.interval(0.95, values.mean(), scipy.stats.sem(values))
    assert mean(values.sum(), (values**2).sum(), 500) == pytest.approx((values.mean(), low, high, 500, 0), rel=1e-9)


def test_equal_values_have_no_width_whatever_the_rounding():
    estimate = mean(sum([0.1] * 1000), sum([0.1**2] * 1000), 1000)
    assert estimate.low == estimate.value == estimate.high
    # The same values in batches of other sizes, whose sums are rounded elsewhere.
    for size in (7, 24, 50):
        parts = [np.full(len(part), 0.2706949799) for part in np.array_split(np.arange(22), -(-22 // size))]
        total = sum((float(part.sum()) for part in parts), 0.0)
        squares = sum((float((part**2).sum()) for part in parts), 0.0) * (1 + 2**-51)
        assert mean(total, squares, 22)[1:3] == (total / 22, total / 22)


def test_a_spread_that_float64_holds_is_told():
    values = 1 + 1e-5 * np.arange(10)
    low, high = scipy.stats.norm.interval(0.95, values.mean(), scipy.stats.sem(values))
    assert mean(values.sum(), (values**2).sum(), 10)[1:3] == pytest.approx((low, high), abs=1e-10)
    assert high > low


def test_nothing_is_known_without_images():
    for estimate in (rate(0, 0), mean(0.0, 0.0, 0, undefined=3)):
        assert all(math.isnan(number) for number in estimate[:3])
        assert estimate.n == 0
    assert mean(0.0, 0.0, 0, undefined=3).undefined == 3


def test_one_image_has_a_mean_and_no_interval():
    estimate = mean(2.0, 4.0, 1)
    assert estimate.value == 2
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_an_estimate_has_no_undefined_images_unless_told():
    assert Estimate(1.0, 0.0, 2.0, 5).undefined == 0


@pytest.mark.parametrize("groups", range(2, 11))
def test_the_jackknife_of_a_mean_is_students_interval(groups):
    # Without one value of a mean the jackknife's variance is that of the mean itself, exactly.
    values = np.random.default_rng(groups).normal(5, 2, groups)
    without = [float(np.delete(values, place).mean()) for place in range(groups)]
    low, high = scipy.stats.t.interval(0.95, groups - 1, values.mean(), scipy.stats.sem(values))
    assert jackknife(values.mean(), without, 40, 3) == pytest.approx((values.mean(), low, high, 40, 3), rel=1e-9)


def test_the_jackknife_covers_a_ratio_of_totals_as_often_as_it_says():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        sizes = generator.gamma(2, 10, (10, 30))
        parts = sizes * generator.beta(2, 3, (10, 30))
        without = [np.delete(parts, group, 0).sum() / np.delete(sizes, group, 0).sum() for group in range(10)]
        estimate = jackknife(parts.sum() / sizes.sum(), without, 300)
        held += estimate.low <= 0.4 <= estimate.high
    assert 0.93 < held / 1000 < 0.97


def test_the_jackknife_is_undefined_with_a_single_group_or_an_undefined_figure():
    for without in ([], [2.0], [1.0, math.nan, 3.0]):
        estimate = jackknife(2.0, without, 9, 1)
        assert (estimate.value, estimate.n, estimate.undefined) == (2.0, 9, 1)
        assert math.isnan(estimate.low)
        assert math.isnan(estimate.high)
    assert math.isnan(jackknife(math.nan, [1.0, 2.0], 9).low)


def test_the_jackknife_refuses_more_groups_than_it_knows():
    with pytest.raises(ValueError, match="at most 10 groups, got 11: form fewer, larger ones"):
        jackknife(1.0, [1.0] * 11, 40)
