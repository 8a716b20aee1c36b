"""Tests of what all attacks promise."""

import copy
import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from advscope.attacks import (
    FGSM,
    IFGSM,
    PGD,
    Attack,
    CarliniWagner,
    ElasticNet,
    FirstSuccess,
    Refined,
    SmallestIFGSM,
    Structured,
    succeeded,
)
from advscope.measures import SignificantCells

ATTACKS = [
    FGSM(), IFGSM(), PGD(steps=3), PGD(steps=3, norm="L2", eps=1.0, step_size=0.4),
    PGD(steps=2, restarts=3, keep="loss", loss="dlr"), FirstSuccess([FGSM(eps=0.001), PGD(steps=2)]),
    Refined(PGD(steps=3), SignificantCells(4)),
    Refined(IFGSM(steps=2, norm="L2", eps=1.0), SignificantCells(5, stride=3)),
    SmallestIFGSM(steps=2, resolution=0.01, highest=0.05),
    SmallestIFGSM(steps=2, norm="L2", resolution=0.1, highest=0.4),
    CarliniWagner(steps=12, binary_search_steps=2, learning_rate=0.02, polish_steps=2),
    ElasticNet(steps=12, binary_search_steps=2, polish_steps=2),
    Structured(steps=12, binary_search_steps=2, cell_size=3, polish_steps=2),
]  # fmt: skip


def snapshot(network):
    return {
        "modes": [module.training for module in network.modules()],
        "wanted": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in network.parameters()],
        "state": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "hooks": [
            [list(hooks) for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)]
            for m in network.modules()
        ],
        "random": (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()),
    }  # fmt: skip


def assert_same(before, after):
    assert before["modes"] == after["modes"]
    assert before["wanted"] == after["wanted"]
    assert before["hooks"] == after["hooks"]
    assert before["random"][1:] == after["random"][1:]
    assert torch.equal(before["random"][0], after["random"][0])
    for one, other in zip(before["gradients"], after["gradients"], strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
    assert all(torch.equal(tensor, after["state"][name]) for name, tensor in before["state"].items())


def unsettle(network):
    """Put a network in a state that no careless restoration gives back."""
    network.train()
    network[1].eval()  # a frozen BatchNorm in a network that trains
    network[0].weight.requires_grad_(False)
    network[-1].bias.grad = torch.ones_like(network[-1].bias)
    network[3].register_forward_hook(lambda *_: None)
    return network


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
@pytest.mark.parametrize("inference", [False, True])
def test_the_network_and_the_random_state_are_left_as_found(attack, inference, residual, examples):
    network = residual()
    images, labels = examples(network)
    before = snapshot(unsettle(network))
    original = images.clone()
    with torch.inference_mode(inference):
        adversarials = attack(network, images, labels)
    assert_same(before, snapshot(network))
    assert torch.equal(images, original)
    assert not torch.equal(adversarials, images)
    assert not adversarials.requires_grad
    assert not adversarials.is_inference()


def test_the_network_is_left_as_found_where_the_attack_fails(residual):
    class Failing(Attack):
        def perturb(self, network, images, labels, targets, indices, draw, mask):
            torch.rand(1)
            network(images)
            raise RuntimeError("from within")

    network, images = residual(), torch.rand(2, 3, 12, 12)
    before = snapshot(unsettle(network))
    with pytest.raises(RuntimeError, match="from within"):
        Failing()(network, images, torch.tensor([0, 1]))
    assert_same(before, snapshot(network))


class Interrupted(nn.Module):
    """A network during whose third pass the user presses Ctrl-C."""

    def __init__(self, network):
        super().__init__()
        self.network, self.passes = network, 0

    def forward(self, images):
        self.passes += 1
        if self.passes == 3:
            raise KeyboardInterrupt
        return self.network(images)


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if not isinstance(attack, FGSM)], ids=str)
def test_the_network_is_left_as_found_where_the_user_interrupts(attack, residual, examples):
    network = residual()
    images, labels = examples(network)
    before = snapshot(unsettle(network))
    interrupted = Interrupted(network).train()
    network[1].eval()
    with pytest.raises(KeyboardInterrupt):
        attack(interrupted, images, labels)
    assert interrupted.passes == 3
    assert interrupted.training
    assert_same(before, snapshot(network))


def test_tensors_made_in_inference_mode_are_taken(residual):
    network = residual()
    with torch.inference_mode():
        images, labels = torch.rand(3, 3, 12, 12), torch.tensor([0, 1, -1])
        indices, targets = torch.tensor([5, 6, 7]), torch.tensor([1, 2, 3])
        inside = PGD(steps=2)(
            network, images, labels, targets if (network(images).argmax(1)[2] != 3) else None, indices
        )
        assert inside.shape == images.shape
    assert not network(images.clone()).isnan().any()


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_results_keep_type_range_and_memory_format(attack, residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    images[0], images[1] = 0, 1
    images = images.contiguous(memory_format=torch.channels_last)
    adversarials = attack(network, images, labels)
    assert adversarials.dtype == torch.float64
    assert adversarials.is_contiguous(memory_format=torch.channels_last)
    assert adversarials.min() >= 0
    assert adversarials.max() <= 1


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
@pytest.mark.parametrize("targeted", [False, True])
def test_the_batch_does_not_matter_in_float64(attack, targeted, residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, count=7, dtype=torch.float64)
    targets = (labels + 1) % 5 if targeted else None
    indices = torch.tensor([3, 1, 4, 15, 92, 65, 35])

    def run(rows):
        part = None if targets is None else targets[rows]
        return attack(network, images[rows], labels[rows], part, indices[rows])

    whole = run(torch.arange(7))
    for rows in ([4], [6, 5, 4, 3, 2, 1, 0], [2, 4], [4, 4, 0]):
        torch.testing.assert_close(run(torch.tensor(rows)), whole[rows], rtol=0, atol=1e-6)


def masks(count=6, height=12, width=12):
    """Return a mask of every kind: scattered, one pixel, empty, whole, a cell, the opposite corner."""
    mask = torch.zeros(count, 1, height, width, dtype=torch.bool)
    mask[0] = torch.rand(1, height, width, generator=torch.Generator().manual_seed(2)) < 0.4
    mask[1, :, 3, 5] = True
    mask[3] = True
    mask[4, :, 2:6, 3:9] = True
    mask[5, :, 8:, 8:] = True
    return mask


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
@pytest.mark.parametrize("targeted", [False, True])
def test_nothing_changes_outside_the_mask(attack, targeted, residual, examples):
    network = residual()
    images, labels = examples(network)
    images = images.contiguous(memory_format=torch.channels_last)
    mask, targets = masks(), (labels + 1) % 5 if targeted else None
    with torch.inference_mode():
        adversarials = attack(network, images, labels, targets, mask=mask.clone())
    outside = ~mask.expand_as(images)
    assert torch.equal(adversarials[outside], images[outside])
    assert adversarials.is_contiguous(memory_format=torch.channels_last)
    changed = (adversarials != images).flatten(1).any(1)
    assert not changed[2]
    # An attack that stops at the first success may leave an image alone, and none leaves all of them alone.
    assert changed[[0, 3, 4, 5]].any()


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_a_mask_that_holds_everything_changes_no_bit(attack, residual, examples):
    network = residual()
    images, labels = examples(network)
    everywhere = torch.ones(6, 1, 12, 12, dtype=torch.bool)
    assert torch.equal(attack(network, images, labels, mask=everywhere), attack(network, images, labels))


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_the_batch_does_not_matter_to_masked_images_in_float64(attack, residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    mask, indices = masks(), torch.arange(6) + 50

    def run(rows):
        return attack(network, images[rows], labels[rows], None, indices[rows], 0, mask[rows])

    whole = run(torch.arange(6))
    for rows in ([4], [5, 4, 3, 2, 1, 0], [2, 4], [2]):
        torch.testing.assert_close(run(torch.tensor(rows)), whole[rows], rtol=0, atol=1e-6)


class Seen(Attack):
    """Changes everything, whatever the mask."""

    def perturb(self, network, images, labels, targets, indices, draw, mask):
        return 1 - images


def test_the_mask_is_enforced_on_what_a_subclass_returns(residual, examples):
    network = residual()
    images, labels = examples(network)
    mask = masks()
    assert torch.equal(Seen()(network, images, labels, mask=mask), torch.where(mask, 1 - images, images))


def test_label_minus_one_is_the_networks_prediction(residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    unlabelled = labels.clone()
    unlabelled[[0, 3]] = -1
    given = unlabelled.clone()
    torch.testing.assert_close(PGD(steps=2)(network, images, given), PGD(steps=2)(network, images, labels))
    assert torch.equal(given, unlabelled)


def test_an_empty_batch_stays_empty(residual):
    empty = PGD()(residual(), torch.zeros(0, 3, 12, 12), torch.zeros(0, dtype=torch.int64))
    assert empty.shape == (0, 3, 12, 12)


class Counting(nn.Module):
    """Counts the images that pass."""

    def __init__(self, network):
        super().__init__()
        self.network, self.passes = network, []

    def forward(self, images):
        self.passes.append(len(images))
        return self.network(images)


def test_no_pass_is_wasted(residual, examples):
    network = residual()
    images, labels = examples(network)
    for attack, labels_given, passes in [
        (PGD(steps=3), labels, [6] * 3),
        (PGD(steps=3, keep="loss"), labels, [6] * 4),
        (PGD(steps=0), labels, []),
        (FGSM(), torch.where(torch.arange(6) < 2, -1, labels), [2, 6]),
        # No image can succeed within so little: each restart rates its last iterate.
        (PGD(eps=1e-7, step_size=1e-7, steps=2, restarts=2), labels, [6] * 6),
        # Every image starts out wrong: the first run is enough.
        (PGD(eps=1e-7, steps=1, restarts=4), (labels + 1) % 5, [6] * 2),
    ]:
        counting = Counting(network)
        attack(counting, images, labels_given)
        assert counting.passes == passes, attack


def test_attacks_are_values():
    assert PGD(steps=3) == PGD(steps=3) != PGD(steps=4)
    assert FGSM() != IFGSM(steps=1)
    assert len({PGD(), PGD(), FGSM(), copy.deepcopy(FGSM())}) == 2
    assert repr(FGSM(eps=0.5)) == "FGSM(eps=0.5, norm='Linf', loss='cross_entropy')"
    assert eval(repr(PGD(norm="L2")), {"PGD": PGD}) == PGD(norm="L2")
    nested = FirstSuccess([FGSM(eps=0.5)])
    assert json.loads(json.dumps(nested.settings())) == {
        "class": "FirstSuccess",
        "attacks": [{"class": "FGSM", "eps": 0.5, "norm": "Linf", "loss": "cross_entropy"}],
    }
    assert PGD().settings() == {
        "class": "PGD", "eps": 8 / 255, "step_size": 2 / 255, "steps": 20, "norm": "Linf", "loss": "cross_entropy",
        "keep": "last", "random_start": True, "restarts": 1, "seed": 0,
    }  # fmt: skip


IMAGES, LABELS = torch.full((2, 3, 4, 4), 0.5), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": lambda images: images}, "network must be a torch.nn.Module, got a function"),
        ({"images": IMAGES.numpy()}, r"images must be a tensor \(N, C, H, W\), got a ndarray"),
        ({"labels": [0, 1]}, r"labels must be an int64 tensor of shape \(2,\), got a list"),
        ({"images": IMAGES.byte()}, r"images must be floating point in \[0, 1\], got torch.uint8"),
        ({"images": IMAGES[0]}, r"images must be \(N, C, H, W\), got shape \(3, 4, 4\)"),
        ({"images": IMAGES + 0.6}, r"images must be in \[0, 1\], got values in \[1.1, 1.1\]"),
        ({"images": IMAGES - 0.6}, r"images must be in \[0, 1\], got values in \[-0.1, -0.1\]"),
        ({"images": IMAGES / torch.tensor([1.0, float("nan")])[:, None, None, None]}, "got nan"),
        ({"labels": LABELS.int()}, r"labels must be int64 of shape \(2,\), one per image, got torch.int32"),
        ({"labels": LABELS[:1]}, r"labels must be int64 of shape \(2,\)"),
        ({"labels": LABELS - 2}, "labels must be at least -1, got -2"),
        ({"labels": LABELS + 2}, r"labels must be in 0 ... 2, the network's classes, got 3"),
        ({"targets": LABELS}, "targets must differ from labels, got 0 twice"),
        ({"targets": LABELS[:, None]}, r"targets must be int64 of shape \(2,\)"),
        ({"targets": torch.tensor([1, -1])}, "targets must be at least 0, got -1"),
        ({"targets": torch.tensor([1, 3])}, "targets must be in 0 ... 2, the network's classes, got 3"),
        ({"indices": LABELS.float()}, r"indices must be int64 of shape \(2,\), one per image, got torch.float32"),
        ({"indices": torch.arange(3)}, r"indices must be int64 of shape \(2,\)"),
        (
            {"mask": torch.ones(2, 1, 4, 4)},
            r"mask must be torch.bool of shape \(2, 1, 4, 4\), true where .*torch.float32",
        ),
        (
            {"mask": torch.ones(2, 3, 4, 4, dtype=torch.bool)},
            r"mask must be .*, got torch.bool of shape \(2, 3, 4, 4\)",
        ),
        (
            {"mask": torch.ones(1, 1, 4, 4, dtype=torch.bool)},
            r"mask must be .*, got torch.bool of shape \(1, 1, 4, 4\)",
        ),
        ({"mask": [[True]]}, r"mask must be a bool tensor of shape \(2, 1, 4, 4\), got a list"),
        ({"draw": 0.5}, "draw must be a whole number, got 0.5"),
    ],
)
def test_bad_input_is_named(arguments, message):
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    with pytest.raises(ValueError, match=message) as error:
        PGD(steps=1)(**({"network": network, "images": IMAGES, "labels": LABELS} | arguments))
    assert "\n" not in str(error.value)


class Returning(nn.Module):
    """A network that returns what a function makes of its images."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.flatten(1)[:, :4].softmax(1), "the network must return logits, got probabilities"),
        (lambda x: x.flatten(1)[:, :4].bfloat16().softmax(1), "the network must return logits, got probabilities"),
        (lambda x: x.flatten(1)[:, :4].half().softmax(1), "the network must return logits, got probabilities"),
        (lambda x: x, r"must return logits of shape \(2, K\) with K >= 2, got shape \(2, 3, 4, 4\)"),
        (lambda x: x.flatten(1)[:, :1], r"with K >= 2, got shape \(2, 1\)"),
        (lambda x: x.flatten(1)[:1], r"must return logits of shape \(2, K\) with K >= 2, got shape \(1, 48\)"),
        (lambda x: (x.flatten(1), x), "got a tuple"),
        (lambda x: x.flatten(1) * float("nan"), "the network returned nan logits"),
        (lambda x: -x.flatten(1).detach(), "have no gradient towards the images"),
    ],
)
def test_a_bad_network_is_named(function, message):
    with pytest.raises(ValueError, match=message):
        PGD(steps=1)(Returning(function), IMAGES, LABELS)


def test_log_probabilities_and_sparse_rows_are_logits():
    for function in (lambda x: x.flatten(1).log_softmax(1), lambda x: x.flatten(1)[:, :3]):
        assert PGD(steps=1)(Returning(function), IMAGES, LABELS).shape == IMAGES.shape


def test_success_is_the_prediction_and_with_a_confidence_the_margin():
    # A tie (argmax takes the first class), a margin of 2, of exactly 1, a third class, right.
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, -1.0], [0.0, 1.0, -1.0], [0.0, 1.0, 4.0], [2.0, 1.0, 0.0]])
    first, second = torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
    assert succeeded(logits, first, None).tolist() == [False, True, True, True, False]
    assert succeeded(logits, first, second).tolist() == [False, True, True, False, False]
    assert succeeded(logits, second, None).tolist() == [True, False, False, True, True]
    assert succeeded(logits, first, None, confidence=1.0).tolist() == [False, True, True, True, False]
    assert succeeded(logits, first, second, confidence=1.5).tolist() == [False, True, False, False, False]
    assert succeeded(logits, second, None, confidence=1e-6).tolist() == [False, False, False, True, True]


def test_an_attack_without_the_setting_has_no_confidence():
    assert PGD().confidence == FGSM().confidence == FirstSuccess([PGD()]).confidence == 0
    assert "confidence" not in PGD().settings()


def test_an_attack_of_attacks_has_the_confidence_of_what_it_holds():
    sure, surer = SmallestIFGSM(confidence=1.0), SmallestIFGSM(confidence=2.0)
    assert Refined(surer, SignificantCells(4)).confidence == 2
    assert FirstSuccess([surer, Refined(sure, SignificantCells(4))]).confidence == 1
    assert FirstSuccess([surer, PGD()]).confidence == 0
