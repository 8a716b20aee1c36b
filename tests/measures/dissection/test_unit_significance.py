"""Tests of the p-values of sensitive units."""

import itertools
import math

import pytest
import torch
from scipy.stats import kstest

from advscope.measures import top_units_p_values


def test_a_planted_link_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    sensitivity = torch.rand(64, generator=generator)
    scores = 0.01 + 0.02 * sensitivity + 0.002 * torch.rand(64, generator=generator)
    p_values = top_units_p_values(scores, sensitivity, (10, 20, 30))
    assert all(p <= 0.01 for p in p_values.values())
    opposite = top_units_p_values(scores.max() - scores, sensitivity, (10, 20, 30))
    assert all(p >= 0.99 for p in opposite.values())


def test_p_is_uniform_under_the_null() -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = [
        top_units_p_values(
            torch.rand(24, generator=generator), torch.rand(24, generator=generator), (8,), draws=999, seed=run
        )[8]
        for run in range(500)
    ]
    assert kstest(drawn, "uniform").pvalue > 0.01


def test_p_is_that_of_all_subsets() -> None:
    scores = torch.tensor([0.5, 0.1, 0.4, 0.3, 0.2, 0.6, 0.05])
    sensitivity = torch.tensor([5.0, 1.0, 7.0, 3.0, 2.0, 6.0, 4.0])
    observed = scores[[2, 5, 0]].sum()
    sums = [scores[list(subset)].sum() for subset in itertools.combinations(range(7), 3)]
    exact = sum(float(total) >= float(observed) - 1e-6 for total in sums) / len(sums)
    found = top_units_p_values(scores, sensitivity, (3,), draws=40_000)[3]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 40_000) + 1e-4)


def test_equal_scores_are_ties_and_reach_the_observed() -> None:
    # 0.1 + 0.2 + 0.3 depends on the order in floating point: all sets must tie.
    scores = torch.full((30,), 0.1, dtype=torch.float64)
    assert top_units_p_values(scores, torch.arange(30.0), (10,), draws=99) == {10: 1.0}


def test_undefined_units_are_left_out() -> None:
    generator = torch.Generator().manual_seed(2)
    scores, sensitivity = torch.rand(20, generator=generator), torch.rand(20, generator=generator)
    alone = top_units_p_values(scores, sensitivity, (5,))
    padded = (
        torch.cat([scores, torch.tensor([torch.nan, 9.0])]),
        torch.cat([sensitivity, torch.tensor([9.0, torch.nan])]),
    )
    assert top_units_p_values(*padded, (5,)) == alone
    assert math.isnan(top_units_p_values(scores, sensitivity, (20,))[20])
    assert all(math.isnan(p) for p in top_units_p_values(scores * torch.nan, sensitivity, (1, 2)).values())


def test_ties_in_sensitivity_rank_by_unit() -> None:
    scores = torch.tensor([0.9, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    p_values = top_units_p_values(scores, torch.zeros(8), (2,), draws=5000)
    assert p_values[2] == pytest.approx(1 / 28, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(4), torch.rand(4), (0,)), "tops and draws must be at least 1"),
        ((torch.rand(4), torch.rand(4), (2,), 0), "tops and draws must be at least 1"),
        ((-torch.ones(4), torch.rand(4), (2,)), "scores must be at least 0 and below .*, got -1"),
        ((torch.tensor([1.0, torch.inf]), torch.rand(2), (1,)), "scores must be at least 0 and below .*, got inf"),
        ((torch.rand(4), torch.rand(5), (2,)), r"must be \(K,\), got \(4,\), \(5,\)"),
    ],
)
def test_what_is_not_allowed_is_named(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_units_p_values(*arguments)
