"""Tests of attacks in a row."""

import pytest
import torch
from torch import nn

from advscope.attacks import FGSM, PGD, Attack, FirstSuccess


class Brightness(nn.Module):
    """Class 1 is a bright image: logits (0, 10 (mean - 0.5))."""

    def forward(self, images):
        bright = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([torch.zeros_like(bright), bright], dim=1)


class Darken(Attack):
    """Subtracts a constant, and remembers which images it met."""

    def __init__(self, amount, confidence=0.0):
        self.amount, self.confidence = amount, confidence
        self.met, self.masks = [], []

    def settings(self):
        return {"class": "Darken", "amount": self.amount}

    def perturb(self, network, images, labels, targets, indices, draw, mask):
        self.met.append(indices.tolist())
        self.masks.append(mask)
        return (images - self.amount).clamp(0, 1)


def run(values, attacks, labels=None, **arguments):
    images = torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    labels = torch.ones(len(values), dtype=torch.int64) if labels is None else labels
    found = FirstSuccess(attacks)(Brightness(), images, labels, **arguments)
    return found[:, 0, 0, 0]


def test_each_attack_meets_those_that_withstood_the_ones_before():
    weak, strong = Darken(0.1), Darken(0.3)
    # Wrong already; within reach of the weak one; of the strong one; of none (0.95 - 0.3 is the nearest).
    found = run([0.4, 0.55, 0.75, 0.95], [weak, strong], indices=torch.tensor([7, 8, 9, 10]))
    torch.testing.assert_close(found, torch.tensor([0.4, 0.45, 0.45, 0.65]))
    assert weak.met == [[8, 9, 10]]
    assert strong.met == [[9, 10]]


def test_the_highest_margin_is_returned_where_none_succeeds():
    torch.testing.assert_close(run([0.95], [Darken(0.3), Darken(0.1)]), torch.tensor([0.65]))


def test_no_attack_runs_when_none_is_left():
    never = Darken(0.1)
    run([0.55], [Darken(0.1), never])
    assert never.met == []


def test_targets_say_what_success_is():
    # Predicted 0 already, which is the target of the first; the target of the second is reached by the attack.
    weak = Darken(0.1)
    found = run([0.4, 0.55], [weak], targets=torch.tensor([0, 0]))
    torch.testing.assert_close(found, torch.tensor([0.4, 0.45]))
    assert weak.met == [[1]]


def test_each_attack_gets_the_mask_of_the_images_it_meets():
    weak, strong = Darken(0.1), Darken(0.3)
    mask = torch.zeros(4, 1, 2, 2, dtype=torch.bool)
    mask[1], mask[2, 0, 0], mask[3, 0, 1] = True, True, True
    run([0.4, 0.55, 0.75, 0.95], [weak, strong], mask=mask)
    assert torch.equal(weak.masks[0], mask[1:])
    assert torch.equal(strong.masks[0], mask[2:])


def test_success_is_the_smallest_confidence_of_its_attacks():
    # Margins are 10 times the distance from 0.5. The clean images' 0.4 and 1 are enough or too little for 0.5.
    sure, surer = Darken(0.1, confidence=0.5), Darken(0.3, confidence=2.0)
    found = run([0.46, 0.4, 0.56, 0.54], [sure, surer])
    assert FirstSuccess([surer, sure]).confidence == 0.5
    # Of the third 0.46 is no success yet; of the fourth 0.44 is.
    torch.testing.assert_close(found, torch.tensor([0.36, 0.4, 0.26, 0.44]))
    assert sure.met == [[0, 2, 3]]
    assert surer.met == [[2]]


def test_a_success_at_the_very_confidence_survives_the_rounding_of_a_second_look():
    never = Darken(0.3, confidence=1.0)
    found = run([0.5], [Darken(0.1 - 1e-6, confidence=1.0), never])
    torch.testing.assert_close(found, torch.tensor([0.4 + 1e-6]))
    assert never.met == []


def test_the_batch_does_not_matter(residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, count=10, dtype=torch.float64)
    attack = FirstSuccess([FGSM(eps=0.004), PGD(eps=0.008, steps=3), PGD(eps=0.01, norm="L2", steps=3)])
    whole = attack(network, images, labels)
    rows = torch.tensor([7, 2])
    torch.testing.assert_close(
        attack(network, images[rows], labels[rows], indices=rows), whole[rows], rtol=0, atol=1e-6
    )
    survivors = network(whole).argmax(1) == labels
    assert 0 < survivors.sum() < 10


def test_refuses_an_empty_list():
    with pytest.raises(ValueError, match="attacks must hold at least one attack, got none"):
        FirstSuccess([])
