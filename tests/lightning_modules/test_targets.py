"""Targets of targeted attacks."""

import pytest
import torch

from lightning_modules.targets import choose_targets

LOGITS = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, -1.0]])
LABELS = torch.tensor([0, 1])


def test_second_is_the_largest_other_logit_and_least_likely_the_smallest():
    assert choose_targets("second", LOGITS, LABELS, torch.arange(2)).tolist() == [2, 0]
    assert choose_targets("least_likely", LOGITS, LABELS, torch.arange(2)).tolist() == [1, 2]


def test_a_wrong_prediction_does_not_make_the_label_a_target():
    assert choose_targets("second", LOGITS, torch.tensor([2, 0]), torch.arange(2)).tolist() == [0, 1]
    assert choose_targets("least_likely", LOGITS, torch.tensor([1, 2]), torch.arange(2)).tolist() == [2, 0]


def test_random_is_any_other_class_as_often_and_a_function_of_the_index():
    count = 9000
    labels = torch.arange(count) % 10
    targets = choose_targets("random", torch.zeros(count, 10), labels, torch.arange(count))
    assert (targets != labels).all()
    shifts = torch.bincount((targets - labels) % 10, minlength=10)
    # 1,000 expected for each of nine, standard deviation 30.
    assert shifts[0] == 0
    assert ((shifts[1:] - 1000).abs() < 150).all()
    some = torch.tensor([5, 77, 8999])
    assert choose_targets("random", torch.zeros(3, 10), labels[some], some).tolist() == targets[some].tolist()


def test_seed_zero_draws_the_targets_that_published_figures_were_made_with():
    count = 12
    targets = choose_targets("random", torch.zeros(count, 10), torch.arange(count) % 10, torch.arange(count))
    assert targets.tolist() == [8, 8, 3, 5, 5, 4, 8, 3, 3, 7, 3, 7]


def test_another_seed_draws_other_targets():
    count = 9000
    labels, indices = torch.arange(count) % 10, torch.arange(count)

    def targets(seed, rows=slice(None)):
        return choose_targets("random", torch.zeros(len(indices[rows]), 10), labels[rows], indices[rows], seed)

    first, second = targets(1), targets(2)
    for drawn in (first, second):
        assert (drawn != labels).all()
        assert ((torch.bincount((drawn - labels) % 10, minlength=10)[1:] - 1000).abs() < 150).all()
    # One in nine agrees by chance: 1,000, standard deviation 30; nor is one stream another, shifted by an image.
    shifts = [(drawn - labels) % 10 for drawn in (first, second, targets(0))]
    for one, other in ((shifts[0], shifts[1]), (shifts[0], shifts[2]), (shifts[0][1:], shifts[1][:-1])):
        assert abs(int((one == other).sum()) - 1000) < 150
    assert torch.equal(targets(1, slice(70, 90)), first[70:90])
    for rule in ("second", "least_likely"):
        assert torch.equal(
            choose_targets(rule, LOGITS, LABELS, torch.arange(2), 5),
            choose_targets(rule, LOGITS, LABELS, torch.arange(2)),
        )


def test_an_unknown_rule_is_refused():
    with pytest.raises(
        ValueError, match="rule must be 'random', 'second', 'least_likely' or the number of a class, got 'best'"
    ):
        choose_targets("best", LOGITS, LABELS, torch.arange(2))


def test_a_class_is_the_target_of_every_image():
    assert choose_targets(1, LOGITS, LABELS, torch.arange(2)).tolist() == [1, 1]
    with pytest.raises(ValueError, match=f"class of the network, 0 ... {LOGITS.shape[1] - 1}, got {LOGITS.shape[1]}"):
        choose_targets(LOGITS.shape[1], LOGITS, LABELS, torch.arange(2))
