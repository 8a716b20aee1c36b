"""Tests of Holm's correction."""

import itertools
import math
import random

import pytest

from advscope.measures.dissection.holm import holm


def by_definition(p_values: list[float]) -> list[float]:
    """Return the lowest level at which the step-down procedure rejects each hypothesis."""
    levels = sorted({min(1.0, p * factor) for p in p_values for factor in range(1, len(p_values) + 1)})
    found = [1.0] * len(p_values)
    for level in reversed(levels):
        for rank, (p, place) in enumerate(sorted((p, place) for place, p in enumerate(p_values))):
            if p * (len(p_values) - rank) > level:
                break
            found[place] = level
    return found


def test_by_hand_and_by_definition() -> None:
    # The example of R's p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm").
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    generator = random.Random(0)
    for count in range(1, 9):
        p_values = [generator.random() ** 3 for _ in range(count)]
        assert holm(p_values) == pytest.approx(by_definition(p_values), rel=1e-12)


def test_order_does_not_matter_and_ties_are_equal() -> None:
    p_values = [0.02, 0.01, 0.02, 0.9]
    for order in itertools.permutations(range(4)):
        found = holm([p_values[place] for place in order])
        assert dict(zip(order, found, strict=True)) == dict(enumerate(holm(p_values)))
    assert holm(p_values) == [0.06, 0.04, 0.06, 0.9]


def test_undefined_ones_are_no_tests() -> None:
    found = holm([math.nan, 0.01, math.nan, 0.04])
    assert math.isnan(found[0])
    assert math.isnan(found[2])
    assert [found[1], found[3]] == [0.02, 0.04]
    assert holm([]) == []


def test_false_findings_stay_below_the_level() -> None:
    generator = random.Random(1)
    found = sum(min(holm([generator.random() for _ in range(24)])) < 0.05 for _ in range(4000))
    assert 0.03 < found / 4000 < 0.065


@pytest.mark.parametrize("p", [-0.1, 1.5, math.inf])
def test_what_is_no_p_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=r"p-values must be in \[0, 1\] or nan"):
        holm([0.5, p])
