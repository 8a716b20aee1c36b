"""A refined attack in an evaluation starts from what the attack that it refines made of the batch."""

import torch
from torch import nn

from advscope.attacks import PGD, Refined
from advscope.batch import Batch
from advscope.measures import SignificantCells
from lightning_modules import NaturalClassifier


def evaluated(attacks, targeting=None):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 5)).eval()
    module = NaturalClassifier(network, attacks=attacks, micro_batch=4, targeting=targeting)
    images = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    batch = Batch(images, torch.arange(7) % 5, torch.arange(7))
    before = module.still.backwards
    found = module.evaluate(batch, torch.ones(7, dtype=torch.bool), "test")
    costs = {key: estimate.value for key, estimate in module.costs["test"].compute().items()}
    return found, costs, module.still.backwards - before


ATTACK = PGD(eps=0.1, step_size=0.03, steps=5)
REFINED = Refined(ATTACK, SignificantCells(4))


def test_the_result_and_the_cost_are_those_of_the_attack_alone():
    together, costs, spent = evaluated({"pgd": ATTACK, "refined": REFINED})
    alone, costs_alone, spent_alone = evaluated({"refined": REFINED})
    assert torch.equal(together["refined"].adversarials, alone["refined"].adversarials)
    assert costs["refined/backward_passes"] == costs_alone["refined/backward_passes"]
    assert costs["refined/forward_passes"] == costs_alone["refined/forward_passes"]
    # The first run was made once.
    assert spent == spent_alone


def test_an_attack_at_other_targets_or_with_other_settings_is_no_first_run():
    expected, _, _ = evaluated({"refined": REFINED})
    for others, targeting in (
        ({"pgd": PGD(eps=0.05, step_size=0.03, steps=5)}, None),
        ({"pgd": ATTACK}, {"pgd": "least_likely"}),
    ):
        found, _, _ = evaluated(others | {"refined": REFINED}, targeting)
        assert torch.equal(found["refined"].adversarials, expected["refined"].adversarials)


def test_an_image_of_the_target_class_is_left_alone_by_both():
    found, _, _ = evaluated({"pgd": ATTACK, "refined": REFINED}, {"pgd": 2, "refined": 2})
    there = found["pgd"].labels == 2
    assert there.any()
    assert not there.all()
    for result in found.values():
        unmoved = (result.adversarials == result.images).flatten(1).all(1)
        assert unmoved[there].all()
        assert not result.eligible[there].any()
