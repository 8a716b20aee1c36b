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


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule must be 'random', 'second' or 'least_likely', got 'best'"):
        choose_targets("best", LOGITS, LABELS, torch.arange(2))
