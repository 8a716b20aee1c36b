"""Tests of the losses that attacks ascend."""

import math

import pytest
import torch

from advscope.attacks.losses import LOSSES, cross_entropy, dlr, margin

LOGITS = torch.tensor([[4.0, 1.0, 3.0, 0.0, 2.0]], dtype=torch.float64)


def test_cross_entropy_by_hand():
    # log(e^4 + e^1 + e^3 + e^0 + e^2) is the same for every class; minus the class's own logit.
    total = math.log(sum(math.exp(z) for z in (4, 1, 3, 0, 2)))
    assert cross_entropy(LOGITS, torch.tensor([1])).item() == pytest.approx(total - 1)
    assert cross_entropy(LOGITS, torch.tensor([1]), torch.tensor([2])).item() == pytest.approx(3 - total)


def test_margin_by_hand():
    # The label has 4, the best other 3: 3 - 4. The target has 2, the best other 4: 2 - 4.
    assert margin(LOGITS, torch.tensor([0])).item() == -1
    assert margin(LOGITS, torch.tensor([1])).item() == 3
    assert margin(LOGITS, torch.tensor([0]), torch.tensor([4])).item() == -2


def test_dlr_by_hand():
    # Sorted: 4 3 2 1 0. Untargeted, label 0: -(4 - 3) / (4 - 2). Targeted at 4: -(4 - 2) / (4 - (2 + 1) / 2).
    assert dlr(LOGITS, torch.tensor([0])).item() == pytest.approx(-1 / 2)
    assert dlr(LOGITS, torch.tensor([0]), torch.tensor([4])).item() == pytest.approx(-2 / 2.5)


@pytest.mark.parametrize("targeted", [False, True])
def test_dlr_is_that_of_torchattacks(targeted):
    torchattacks = pytest.importorskip("torchattacks")
    logits = torch.randn(20, 7, dtype=torch.float64)
    labels, targets = torch.arange(20) % 7, (torch.arange(20) + 3) % 7
    model = torch.nn.Linear(1, 1)
    if targeted:
        theirs = torchattacks.APGDT(model).dlr_loss_targeted(logits, labels, targets)
        ours = dlr(logits, labels, targets)
    else:
        theirs, ours = torchattacks.APGD(model).dlr_loss(logits, labels), dlr(logits, labels)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("targeted", [False, True])
def test_a_constant_on_all_logits_changes_nothing(name, targeted):
    logits = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(9) % 6
    targets = (labels + 1) % 6 if targeted else None
    for shift in (-300.0, 300.0):
        plain, shifted = (LOSSES[name](z, labels, targets) for z in (logits, logits + shift))
        torch.testing.assert_close(shifted, plain)
        gradients = [torch.autograd.grad(loss.sum(), logits)[0] for loss in (plain, shifted)]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", LOSSES)
def test_the_wished_mistake_raises_the_loss(name):
    labels, targets = torch.tensor([0]), torch.tensor([4])
    toward_target = LOGITS + torch.tensor([0.0, 0, 0, 0, 0.5])
    away_from_label = LOGITS - torch.tensor([0.5, 0, 0, 0, 0])
    assert LOSSES[name](toward_target, labels, targets) > LOSSES[name](LOGITS, labels, targets)
    assert LOSSES[name](away_from_label, labels, None) > LOSSES[name](LOGITS, labels, None)


def test_half_precision_is_widened():
    assert cross_entropy(LOGITS.bfloat16(), torch.tensor([0])).dtype == torch.float32


@pytest.mark.parametrize(("classes", "targets", "message"), [
    (2, None, "untargeted dlr loss needs 3 classes, got 2"),
    (3, torch.tensor([1]), "targeted dlr loss needs 4 classes, got 3"),
])  # fmt: skip
def test_dlr_says_how_many_classes_it_needs(classes, targets, message):
    with pytest.raises(ValueError, match=message):
        dlr(torch.zeros(1, classes), torch.tensor([0]), targets)
