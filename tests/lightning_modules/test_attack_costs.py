"""What attacks cost in an evaluation: known numbers, image by image, and the same for any batch."""

import pytest
import torch
from torch import nn

from advscope.attacks import FGSM, PGD, CarliniWagner, Refined, SmallestIFGSM
from advscope.batch import Batch
from advscope.measures import SignificantCells
from lightning_modules import NaturalClassifier
from lightning_modules.targets import choose_targets

IMAGES = 7


class Counted(nn.Module):
    """A network that counts, by itself, what goes forward and what comes back."""

    def __init__(self, network):
        super().__init__()
        self.network, self.forwards, self.backwards = network, 0, 0

    def forward(self, images):
        self.forwards += len(images)
        logits = self.network(images)
        if logits.requires_grad:
            logits.register_hook(self.back)
        return logits

    def back(self, gradients):
        self.backwards += len(gradients)


def small_network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(54, 5)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


def attacks():
    carlini_wagner = CarliniWagner(steps=8, binary_search_steps=3, polish_steps=2, confidence=0.1)
    return {
        "fgsm": FGSM(eps=0.1),
        "pgd": PGD(steps=6),
        "best": PGD(steps=6, keep="loss"),
        "smallest": SmallestIFGSM(steps=2, resolution=0.05, highest=0.3),
        "cw": carlini_wagner,
        "refined": Refined(carlini_wagner, SignificantCells(4)),
    }


def batch():
    images = torch.rand(IMAGES, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = small_network()(images).argmax(1)
    labels[0] = (labels[0] + 1) % 5  # one that the network gets wrong
    return Batch(images, labels, torch.arange(IMAGES) * 3)


def costs(size, micro_batch=4):
    targeting = {"cw": "random", "refined": "random"}
    module = NaturalClassifier(small_network(), attacks(), micro_batch=micro_batch, targeting=targeting)
    whole = batch()
    for rows in torch.arange(IMAGES).split(size):
        part = Batch(*(None if field is None else field[rows] for field in whole))
        module.evaluate(part, torch.ones(len(rows), dtype=torch.bool), "test")
    return module.costs["test"].compute()


def test_attacks_with_a_fixed_number_of_steps_cost_that_many_passes():
    found = costs(IMAGES)
    passes = {name: tuple(found[f"{name}/{way}_passes"].value for way in ("forward", "backward")) for name in attacks()}
    assert passes["fgsm"] == (1, 1)
    assert passes["pgd"] == (6, 6)
    assert passes["best"] == (7, 6)
    assert {estimate.n for estimate in found.values()} == {IMAGES}


@pytest.mark.parametrize("name", ["smallest", "cw"])
def test_costs_are_the_mean_of_those_of_the_images_one_by_one(name):
    images, labels, indices = batch()[:3]
    network = small_network()
    targets = None
    if name == "cw":
        targets = choose_targets("random", network(images), labels, indices)
    total = [0, 0]
    for row in range(IMAGES):
        counted = Counted(network)
        part = slice(row, row + 1)
        attacks()[name](counted, images[part], labels[part], None if targets is None else targets[part])
        total = [total[0] + counted.forwards, total[1] + counted.backwards]
    found = costs(IMAGES)
    assert found[f"{name}/forward_passes"].value == total[0] / IMAGES
    assert found[f"{name}/backward_passes"].value == total[1] / IMAGES


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("micro_batch", [4, 5])
def test_costs_are_the_same_for_any_batch(size, micro_batch):
    assert str(costs(size, micro_batch)) == str(costs(IMAGES))


def test_a_refined_attack_costs_both_runs_and_its_region():
    found = costs(IMAGES)
    first, both = found["cw/backward_passes"].value, found["refined/backward_passes"].value
    assert first < both
    # The region asks the network for its cells, and takes no gradients.
    assert found["refined/forward_passes"].value - both > found["cw/forward_passes"].value - first


def test_images_that_are_not_attacked_cost_nothing():
    module = NaturalClassifier(small_network(), {"pgd": PGD(steps=6)}, micro_batch=4)
    chosen = torch.arange(IMAGES) < 2
    module.evaluate(batch(), chosen, "validate")
    module.evaluate(batch(), torch.zeros_like(chosen), "validate")
    (forwards, backwards) = module.costs["validate"].compute().values()
    assert (forwards.value, forwards.n, backwards.value, backwards.n) == (6, 2, 6, 2)
    assert module.costs["test"].passes.tolist() == [[0, 0, 0]]


def test_an_epoch_is_logged_under_its_stage_and_does_not_count_in_the_next(monkeypatch):
    module = NaturalClassifier(small_network(), {"pgd": PGD(steps=6)}, micro_batch=4)
    logged = {}
    monkeypatch.setattr(module, "log", lambda key, value, **_: logged.update({key: value}))
    for chosen in (torch.arange(IMAGES) < 5, torch.arange(IMAGES) < 2):
        module.evaluate(batch(), chosen, "validate")
        module.log_estimates("val", "validate")
        found = module.estimates["val/pgd/cost/backward_passes"]
        assert (found.value, found.n) == (6, int(chosen.sum()))
    assert logged["val/pgd/cost/forward_passes"] == 6


def test_without_attacks_nothing_is_said_of_their_cost(monkeypatch, recwarn):
    module = NaturalClassifier(small_network(), {}, micro_batch=4)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.evaluate(batch(), torch.ones(IMAGES, dtype=torch.bool), "test")
    module.log_estimates("test", "test")
    assert list(module.estimates) == ["test/clean/accuracy"]
    assert not [warning for warning in recwarn if "AttackCost" in str(warning.message)]
