"""Tests of the p-values without random draws."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from scipy.stats import kstest, norm

from advscope.measures.dissection.analytic_significance import analytic_p_values
from advscope.measures.dissection.unit_significance import top_units_p_values


def test_exact_is_the_share_of_all_subsets() -> None:
    generator = torch.Generator().manual_seed(0)
    # Few different scores: many sets tie with the observed one, whichever half of the units is added up.
    scores = torch.randint(0, 4, (9,), generator=generator) / 10
    sensitivity = torch.rand(9, generator=generator)
    ranked = sensitivity.argsort(descending=True).tolist()
    whole = [round(10 * score) for score in scores.tolist()]
    found = analytic_p_values(scores, sensitivity, (1, 2, 4, 5, 7, 8))
    for top, (p, method) in found.items():
        observed = sum(whole[unit] for unit in ranked[:top])
        sums = [sum(subset) for subset in itertools.combinations(whole, top)]
        assert p == float(Fraction(sum(total >= observed for total in sums), len(sums)))
        assert method == "exact"


def test_normal_has_the_moments_of_all_subsets() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(12, generator=generator, dtype=torch.float64)
    sensitivity = torch.rand(12, generator=generator)
    ranked = sensitivity.argsort(descending=True)
    sums = torch.tensor([sum(subset) for subset in itertools.combinations(scores.tolist(), 5)], dtype=torch.float64)
    observed = float(scores[ranked[:5]].sum())
    expected = norm.sf(observed, float(sums.mean()), float(sums.std(correction=0)))
    p, method = analytic_p_values(scores, sensitivity, (5,), sets=0)[5]
    assert p == pytest.approx(float(expected), rel=1e-9)
    assert method == "normal"


def test_the_method_follows_from_the_number_of_sets() -> None:
    # C(20, 10) = 184,756 and C(21, 10) = 352,716; C(103, 100) = 176,851.
    generator = torch.Generator().manual_seed(2)
    for units, top, method in ((20, 10, "exact"), (21, 10, "normal"), (103, 100, "exact"), (104, 100, "normal")):
        scores, sensitivity = torch.rand(units, generator=generator), torch.rand(units, generator=generator)
        found = analytic_p_values(scores, sensitivity, (top,))[top]
        assert found.method == method
        drawn = top_units_p_values(scores, sensitivity, (top,), draws=4000)[top]
        assert found.p == pytest.approx(drawn, abs=0.04)


def test_a_planted_link_is_found() -> None:
    generator = torch.Generator().manual_seed(3)
    sensitivity = torch.rand(64, generator=generator)
    scores = 0.01 + 0.02 * sensitivity + 0.002 * torch.rand(64, generator=generator)
    assert all(each.p <= 0.01 for each in analytic_p_values(scores, sensitivity, (10, 20, 30)).values())
    opposite = analytic_p_values(scores.max() - scores, sensitivity, (10, 20, 30))
    assert all(each.p >= 0.99 for each in opposite.values())


def test_normal_is_uniform_under_the_null() -> None:
    generator = torch.Generator().manual_seed(4)
    drawn = [
        analytic_p_values(torch.rand(200, generator=generator), torch.rand(200, generator=generator), (50,))[50]
        for _ in range(500)
    ]
    assert {each.method for each in drawn} == {"normal"}
    assert kstest([each.p for each in drawn], "uniform").pvalue > 0.01


def test_equal_scores_are_certain_and_undefined_units_left_out() -> None:
    scores = torch.full((30,), 0.1, dtype=torch.float64)
    assert analytic_p_values(scores, torch.arange(30.0), (2, 10)) == {2: (1.0, "exact"), 10: (1.0, "normal")}
    generator = torch.Generator().manual_seed(5)
    scores, sensitivity = torch.rand(12, generator=generator), torch.rand(12, generator=generator)
    alone = analytic_p_values(scores, sensitivity, (5,))
    more = torch.tensor([torch.nan, 9.0])
    assert analytic_p_values(torch.cat([scores, more]), torch.cat([sensitivity, more.flip(0)]), (5,)) == alone
    p, method = analytic_p_values(scores, sensitivity, (12,))[12]
    assert math.isnan(p)
    assert method == ""


def test_what_is_not_allowed_is_named() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        analytic_p_values(torch.rand(4), torch.rand(4), (0,))
    with pytest.raises(ValueError, match=r"must be \(K,\), got \(4,\), \(5,\)"):
        analytic_p_values(torch.rand(4), torch.rand(5), (2,))
