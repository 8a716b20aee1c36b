"""Who counts after an attack."""

import pytest
import torch
from torch import nn

from advscope.attacks import PGD, Attack
from advscope.batch import Batch
from lightning_modules import NaturalClassifier
from lightning_modules.attacked import attack_batch


class Brightness(nn.Module):
    """Two logits: (0, 10 (mean - 0.5)): class 1 is a bright image."""

    def forward(self, images):
        bright = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([torch.zeros_like(bright), bright], dim=1)


def attacked(values, labels, targeting=None, eps=0.1):
    images = torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    batch = Batch(images, torch.tensor(labels), torch.arange(len(values)))
    network = Brightness()
    attack = PGD(eps=eps, step_size=eps / 4, steps=10, random_start=False)
    return attack_batch(network, attack, batch, network(images), targeting)


def test_an_image_counts_if_it_was_right_and_is_now_wrong():
    # Right and within reach; right and out of reach; wrong from the start; right, class 0, within reach.
    result = attacked([0.55, 0.9, 0.3, 0.45], [1, 1, 1, 0])
    assert result.eligible.tolist() == [True, True, False, True]
    assert result.attacked.tolist() == [True, False, False, True]
    assert result.targets.tolist() == [0, 1, 0, 1]  # what the network says of the adversarial image


def test_a_targeted_attack_counts_by_its_target():
    result = attacked([0.55, 0.9], [1, 1], targeting="second")
    assert result.targets.tolist() == [0, 0]
    assert result.attacked.tolist() == [True, False]


def test_an_image_without_class_is_eligible_under_its_own_prediction():
    result = attacked([0.55, 0.45], [-1, -1])
    assert result.labels.tolist() == [1, 0]
    assert result.eligible.all()
    assert result.attacked.all()


class Darken(Attack):
    """Subtracts a constant, and claims a confidence."""

    def __init__(self, amount, confidence):
        self.amount, self.confidence = amount, confidence

    def perturb(self, network, images, labels, targets, indices, draw, mask):
        return (images - self.amount).clamp(0, 1)


def darkened(values, labels, confidence, targeting=None):
    images = torch.tensor(values, dtype=torch.float64)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    network = Brightness()
    batch = Batch(images, torch.tensor(labels), torch.arange(len(values)))
    return attack_batch(network, Darken(0.25, confidence), batch, network(images), targeting)


@pytest.mark.parametrize("targeting", [None, "second"])
def test_with_a_confidence_the_margin_of_the_returned_image_counts(targeting):
    # Margins are 10 (0.75 - value): 1.5, then 1 less a half and less two ten-thousandths, 0.5, and -1 after the attack.
    values = [0.6, 0.65 + 0.5e-5, 0.65 + 2e-5, 0.7, 0.85]
    result = darkened(values, [1] * 5, 1.0, targeting)
    assert result.attacked.tolist() == [True, True, False, False, False]
    assert result.eligible.all()
    # Without a confidence the prediction decides, by however little.
    assert darkened(values, [1] * 5, 0.0, targeting).attacked.tolist() == [True, True, True, True, False]


def test_an_image_that_was_wrong_does_not_count_by_its_margin():
    result = darkened([0.4, 0.6], [1, 1], 1.0)
    assert result.eligible.tolist() == [False, True]
    assert result.attacked.tolist() == [False, True]


class Bands(nn.Module):
    """Three logits: class 2 is a bright image, class 1 a middling, class 0 a dark one."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([-((mean - centre) ** 2) for centre in (0.1, 0.4, 0.9)], dim=1)


def test_an_image_pushed_to_a_third_class_is_a_failure_of_a_targeted_attack_and_withstands_nothing():
    # Darker by 0.25: one stays in class 2, one falls to class 1; both were to be class 0, the farthest.
    images = torch.tensor([1.0, 0.7])[:, None, None, None].expand(-1, 3, 2, 2).contiguous()
    batch = Batch(images, torch.tensor([2, 2]), torch.arange(2))
    module = NaturalClassifier(Bands(), {"dark": Darken(0.25, 0.0)}, targeting={"dark": "least_likely"})
    result = module.evaluate(batch, torch.ones(2, dtype=torch.bool), "test")["dark"]
    assert result.targets.tolist() == [0, 0]
    assert result.adversarial_logits.argmax(1).tolist() == [2, 1]
    assert result.eligible.tolist() == [True, True]
    assert result.attacked.tolist() == [False, False]
    assert module.accuracies["test"].compute()["dark/robust_accuracy"].value == 0.5


def test_the_seed_of_random_targets_is_handed_on():
    images = torch.rand(40, 1, 2, 2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    batch = Batch(images, torch.arange(40) % 10, torch.arange(40))
    targets = [
        attack_batch(network, PGD(steps=0), batch, network(images), "random", seed).targets for seed in (0, 0, 1)
    ]
    assert torch.equal(targets[0], targets[1])
    assert not torch.equal(targets[0], targets[2])


def test_works_in_inference_mode():
    with torch.inference_mode():
        assert attacked([0.55], [1]).attacked.all()
