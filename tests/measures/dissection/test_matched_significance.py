"""Tests of the p-values against units whose masks are as large."""

import itertools
import math

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from advscope.measures.dissection.analytic_significance import analytic_p_values
from advscope.measures.dissection.matched_significance import matched_p_values
from advscope.measures.dissection.unit_significance import top_units_p_values

TOPS = (10, 20, 30, 50)


def units(seed: int, by_area: float, linked: float, count: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, sensitivity and areas of units, linked by their areas, and beyond them, as strongly as wished."""
    generator = torch.Generator().manual_seed(seed)
    area, own, other, shared = torch.randn(4, count, generator=generator)
    scores = by_area * area + linked * shared + 0.5 * own
    sensitivity = by_area * area + linked * shared + 0.5 * other
    return scores - scores.min(), sensitivity, (1000 * area.exp()).long()


def test_p_is_that_of_all_sets_of_the_same_composition() -> None:
    scores = torch.tensor([0.5, 0.1, 0.4, 0.3, 0.2, 0.6, 0.05, 0.7])
    areas = torch.tensor([10, 90, 20, 80, 30, 70, 80, 25])
    sensitivity = torch.tensor([5.0, 1.0, 7.0, 3.0, 2.0, 6.0, 4.0, 8.0])
    # In two strata by area: units 0, 2, 4, 7 and 1, 3, 5, 6; the top 4 are 7, 2, 5, 0.
    chosen = scores[[7, 2, 5, 0]].sum()
    sums = [
        scores[[*small, large]].sum()
        for small in itertools.combinations([0, 2, 4, 7], 3)
        for large in (1, 3, 5, 6)
    ]  # fmt: skip
    exact = sum(float(total) >= float(chosen) - 1e-6 for total in sums) / len(sums)
    found = matched_p_values(scores, sensitivity, areas, (4,), draws=40_000, strata=2)[4]
    assert exact == 1 / 16
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 40_000) + 1e-4)


def test_equal_areas_are_told_apart_by_unit() -> None:
    scores = torch.tensor([0.9, 0.1, 0.2, 0.8, 0.3, 0.4])
    sensitivity = torch.tensor([9.0, 1.0, 2.0, 8.0, 3.0, 4.0])
    # Strata are units 0-2 and 3-5; each has its best unit in the top: one of 9 sets.
    assert matched_p_values(scores, sensitivity, torch.full((6,), 5), (2,), 20_000, strata=2)[2] == pytest.approx(
        1 / 9, abs=0.01
    )


def test_a_link_beyond_area_is_found_by_every_test() -> None:
    scores, sensitivity, areas = units(0, by_area=1.0, linked=1.0)
    assert all(p <= 0.01 for p in matched_p_values(scores, sensitivity, areas, TOPS).values())
    assert all(p <= 0.01 for p in top_units_p_values(scores, sensitivity, TOPS).values())
    assert all(found.p <= 0.01 for found in analytic_p_values(scores, sensitivity, TOPS).values())


@pytest.mark.parametrize(("count", "top"), [(256, 50), (2048, 100)])
def test_a_link_due_to_area_alone_is_not(count: int, top: int) -> None:
    plain, matched = [], []
    for seed in range(40):
        scores, sensitivity, areas = units(seed, by_area=1.0, linked=0.0, count=count)
        plain.append(top_units_p_values(scores, sensitivity, (top,), 200)[top])
        matched.append(matched_p_values(scores, sensitivity, areas, (top,), 400)[top])
    assert max(plain) <= 0.01
    # Of 40, 2 are expected below 0.05; 7 or more have a chance of 0.3%.
    assert sum(p < 0.05 for p in matched) <= 6
    assert sum(p > 0.5 for p in matched) >= 8


def test_p_is_uniform_where_score_and_sensitivity_share_nothing_but_the_stratum() -> None:
    generator = torch.Generator().manual_seed(1)
    p_values = []
    for run in range(500):
        areas = torch.arange(100)[torch.randperm(100, generator=generator)]
        # Both follow the stratum of 5 units, strongly, and nothing else.
        stratum = (areas // 5) / 20
        scores = stratum + torch.rand(100, generator=generator)
        sensitivity = stratum + torch.rand(100, generator=generator)
        p_values.append(matched_p_values(scores, sensitivity, areas, (30,), draws=999, seed=run)[30])
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_one_stratum_is_the_test_without_areas() -> None:
    scores, sensitivity, areas = units(2, by_area=0.2, linked=0.1, count=60)
    matched = matched_p_values(scores, sensitivity, areas, (5, 20), draws=20_000, strata=1)
    plain = top_units_p_values(scores, sensitivity, (5, 20), draws=20_000)
    assert matched[5] == pytest.approx(plain[5], abs=0.02)
    assert matched[20] == pytest.approx(plain[20], abs=0.02)


def test_undefined_where_nothing_is_left_to_compare() -> None:
    scores, areas = torch.rand(50, generator=torch.Generator().manual_seed(3)), torch.arange(50)
    # Ten strata of 5 units; the top 10 are two whole ones, the top 12 are not.
    found = matched_p_values(scores, areas.float(), areas, (10, 12, 50, 60))
    assert [math.isnan(p) for p in found.values()] == [True, False, True, True]
    assert math.isnan(matched_p_values(scores[:8], areas[:8].float(), areas[:8], (4,))[4])


def test_undefined_units_are_left_out() -> None:
    scores, sensitivity, areas = units(4, by_area=0.5, linked=0.2, count=40)
    alone = matched_p_values(scores, sensitivity, areas, (10,))
    unknown = torch.tensor([torch.nan, 9.0, 9.0])
    padded = torch.cat([scores, unknown]), torch.cat([sensitivity, unknown.roll(1)])
    assert matched_p_values(*padded, torch.cat([areas.double(), unknown.double().roll(2)]), (10,)) == alone
    # The order of the units decides among equal areas alone, and the draws are of their places in their stratum.
    order = torch.randperm(40, generator=torch.Generator().manual_seed(5))
    assert matched_p_values(scores[order], sensitivity[order], areas[order], (10,)) == alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(4), torch.rand(4), torch.ones(5), (2,)), r"areas must be as scores \(4,\), got \(5,\)"),
        ((torch.rand(4), torch.rand(4), torch.ones(4), (2,), 0), "tops and draws must be at least 1"),
        ((torch.rand(4), torch.rand(4), torch.ones(4), (2,), 9, 0, 0), "strata must be at least 1, got 0"),
        ((-torch.ones(4), torch.rand(4), torch.ones(4), (2,)), "scores must be at least 0 and below .*, got -1"),
    ],
)
def test_what_is_not_allowed_is_named(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matched_p_values(*arguments)
