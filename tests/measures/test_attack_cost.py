"""The cost of attacks, against sums by hand."""

import math

import pytest
import torch

from advscope.measures import AttackCost


def test_by_hand():
    cost = AttackCost(["fgsm", "pgd"])
    cost.update("fgsm", images=3, forwards=3, backwards=3)
    cost.update("pgd", images=3, forwards=63, backwards=60)
    cost.update("pgd", images=1, forwards=10, backwards=8)
    assert {key: (estimate.value, estimate.n, estimate.undefined) for key, estimate in cost.compute().items()} == {
        "fgsm/forward_passes": (1.0, 3, 0),
        "fgsm/backward_passes": (1.0, 3, 0),
        "pgd/forward_passes": (73 / 4, 4, 0),
        "pgd/backward_passes": (68 / 4, 4, 0),
    }


def test_there_is_no_interval():
    cost = AttackCost(["pgd"])
    for _ in range(5):
        cost.update("pgd", images=4, forwards=8, backwards=4)
    assert all(math.isnan(end) for estimate in cost.compute().values() for end in (estimate.low, estimate.high))


def test_an_attack_that_met_no_image_has_no_cost():
    cost = AttackCost(["pgd", "fgsm"])
    cost.update("fgsm", images=2, forwards=2, backwards=2)
    found = cost.compute()
    assert math.isnan(found["pgd/forward_passes"].value)
    assert found["pgd/forward_passes"].n == 0
    assert found["fgsm/forward_passes"].value == 1


def test_counts_stay_whole_numbers_whatever_the_module_is_cast_to():
    cost = AttackCost(["pgd"])
    cost.half()
    # Beyond what half precision, and single precision, can tell apart.
    cost.update("pgd", images=1, forwards=2**25 + 1, backwards=70_001)
    found = cost.compute()
    assert (found["pgd/forward_passes"].value, found["pgd/backward_passes"].value) == (2**25 + 1, 70_001)


def test_reset_starts_over_and_leaves_no_trace():
    cost = AttackCost(["pgd"])
    cost.update("pgd", images=1, forwards=5, backwards=5)
    cost.reset()
    cost.update("pgd", images=2, forwards=4, backwards=2)
    assert cost.passes.tolist() == [[2, 4, 2]]
    assert cost.passes.dtype == torch.int64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attack": "cw"}, r"must be of one of the attacks \['pgd'\], got 'cw'"),
        ({"images": -1}, "images must be at least 0, got -1"),
        ({"forwards": -2}, "forwards must be at least 0, got -2"),
        ({"backwards": -3}, "backwards must be at least 0, got -3"),
    ],
)
def test_what_it_does_not_take(change, message):
    with pytest.raises(ValueError, match=message):
        AttackCost(["pgd"]).update(**{"attack": "pgd", "images": 1, "forwards": 1, "backwards": 1} | change)


def test_names_must_differ():
    with pytest.raises(ValueError, match=r"different names, got \['pgd', 'pgd'\]"):
        AttackCost(["pgd", "pgd"])
