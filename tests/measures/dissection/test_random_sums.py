"""Tests of sums over random sets."""

import itertools
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from advscope.counter_hash import hash32
from advscope.measures.dissection import random_sums as module
from advscope.measures.dissection.random_sums import random_sums


def twin(values: list[list[int]], counts: list[list[int]], draws: int, seed: int) -> list[list[int]]:
    """Return the same sums by shuffling lists."""
    sums = [[0] * draws for _ in counts]
    for draw in range(draws):
        for stratum, left in enumerate(values):
            left, taken = list(left), []
            for step in range(max(count[stratum] for count in counts)):
                number = int(hash32(seed, stratum, step, torch.tensor(draw)))
                place = step + number * (len(left) - step) // 2**32
                left[step], left[place] = left[place], left[step]
                taken.append(left[step])
            for kind, count in enumerate(counts):
                sums[kind][draw] += sum(taken[: count[stratum]])
    return sums


def test_a_plain_loop_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    strata = [[5, 1, 2**40], [7, 7, 1, 0], [3], [11, 13, 17, 19]]
    counts = [[1, 2, 0, 4], [0, 4, 1, 2], [0, 0, 0, 0], [3, 0, 0, 1]]
    padded = torch.tensor([row + [-999] * (4 - len(row)) for row in strata])
    sizes = torch.tensor([len(row) for row in strata])
    found = random_sums(padded, sizes, torch.tensor(counts), 50, seed=3)
    assert found.tolist() == twin(strata, counts, 50, 3)
    # Neither the number of draws nor how many are done at once changes a set.
    monkeypatch.setattr(module, "_ELEMENTS", 16 * 7)
    assert torch.equal(random_sums(padded, sizes, torch.tensor(counts), 60, seed=3)[:, :50], found)
    assert not torch.equal(random_sums(padded, sizes, torch.tensor(counts), 50, seed=4), found)


def test_every_set_is_as_likely() -> None:
    # Powers of two: the sum names the set.
    values = torch.tensor([[1, 2, 4, 8, 16], [32, 64, 128, 256, 0]])
    sums = random_sums(values, torch.tensor([5, 4]), torch.tensor([[2, 3]]), 20_000, seed=0)[0]
    sets = [
        sum(one) + sum(other)
        for one in itertools.combinations([1, 2, 4, 8, 16], 2)
        for other in itertools.combinations([32, 64, 128, 256], 3)
    ]
    seen = Counter(sums.tolist())
    assert set(seen) == set(sets)
    assert chisquare([seen[each] for each in sets]).pvalue > 0.01


def test_whole_strata_are_taken_whole() -> None:
    values = torch.tensor([[1, 2, 4], [8, 16, 32]])
    sums = random_sums(values, torch.tensor([3, 3]), torch.tensor([[3, 0], [3, 3]]), 9, seed=0)
    assert sums.tolist() == [[7] * 9, [63] * 9]


@pytest.mark.parametrize(("sizes", "counts"), [([2], [[3]]), ([4], [[1]])])
def test_more_than_there_are_is_refused(sizes: list[int], counts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="counts must be at most sizes"):
        random_sums(torch.tensor([[1, 2, 3]]), torch.tensor(sizes), torch.tensor(counts), 5, seed=0)
