"""Which cells are significant, against footnote 3 word by word."""

import numpy as np
import pytest
import torch

from advscope.measures import significant


def loop(scores, reading, share):
    """Footnote 3, word by word; and the first ceil(share * m), with ties."""
    ascending = sorted(scores)
    if reading == "count":
        wanted = next(k for k in range(1, len(scores) + 1) if k >= share * len(scores) - 1e-9)
        return [score >= ascending[len(scores) - wanted] for score in scores]
    running = 0.0
    for beta in ascending:
        running += beta
        if running / sum(ascending) >= (1 - share) - 1e-12:
            return [score > beta for score in scores]
    raise AssertionError


@pytest.mark.parametrize("reading", ["cumulative", "count"])
@pytest.mark.parametrize("share", [0.7, 0.5, 0.05])
def test_equals_a_loop(reading, share):
    scores = torch.rand(20, 13, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 4 + 1e-3
    scores[5:10] = (scores[5:10] * 5).ceil()  # ties
    expected = [loop(row, reading, share) for row in scores.tolist()]
    assert significant(scores, reading, share).tolist() == expected


def test_reaches_the_bound_exactly():
    # Ten equal cells but one: the running sum 1 + 2 = 3 is exactly 30% of 10.
    assert significant(torch.tensor([[2.0, 1.0, 7.0]])).tolist() == [[False, False, True]]
    # 0.1 + 0.2 = 0.30000000000000004 and 0.7 * 10 = 7: bounds are met whatever the rounding.
    assert significant(torch.tensor([[0.1, 0.2, 0.7]], dtype=torch.float64)).tolist() == [[False, False, True]]
    assert significant(torch.arange(1.0, 11)[None], "count").sum() == 7


def test_does_not_depend_on_the_order_of_cells():
    generator = torch.Generator().manual_seed(2)
    scores = torch.randint(1, 5, (8, 30), generator=generator).double()
    order = torch.randperm(30, generator=generator)
    for reading in ("cumulative", "count"):
        assert torch.equal(significant(scores, reading)[:, order], significant(scores[:, order], reading))


def test_a_cell_with_almost_everything_is_its_own_bound():
    # Running sums 1, 2, 100 of 100: the bound 30 is first reached at the largest score, and nothing lies above it.
    scores = torch.tensor([[1.0, 1.0, 98.0]])
    assert not significant(scores).any()
    assert significant(scores, "count").all()  # ceil(2.1) = 3


def test_none_is_significant_with_a_nan():
    scores = torch.tensor([[1.0, torch.nan, 2.0], [1.0, 2.0, 3.0]])
    for reading in ("cumulative", "count"):
        assert significant(scores, reading).any(1).tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(3),), "scores must be"),
        ((torch.ones(3, 0),), "scores must be"),
        ((torch.ones(1, 3), "both"), "reading must be 'cumulative' or 'count', got 'both'"),
        ((torch.ones(1, 3), "count", 1.0), r"share must be in \(0, 1\), got 1.0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        significant(*arguments)


def test_numbers_from_numpy_agree_on_size():
    scores = torch.tensor(np.linspace(1, 2, 64))[None]
    assert significant(scores, "count").sum() == 45  # ceil(44.8)
