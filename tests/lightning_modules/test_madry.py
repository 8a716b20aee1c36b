"""Madry training against a plain loop, and its settings."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.networks import CIFARResNet
from lightning_modules import MadryClassifier

EPS, STEP = 8 / 255, 2 / 255


def module(**settings):
    torch.manual_seed(0)
    network = CIFARResNet(depth=8, width=4).double()
    built = MadryClassifier(
        attack=PGD(EPS, STEP, 3, random_start=False), network=network, eps_warmup_epochs=settings.pop("warmup", 0.0),
        **settings,
    )  # fmt: skip
    built.log = lambda *_, **__: None
    built._trainer = SimpleNamespace(num_training_batches=10, current_epoch=0, global_step=0)
    return built.train()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(6, 3, 32, 32, generator=generator, dtype=torch.float64)
    return Batch(images, torch.arange(6) % 10, torch.arange(6))


def loop(network, images, labels):
    """Return what PGD without a random start finds, step by step, in evaluation mode."""
    network = copy.deepcopy(network).eval()
    current = images.clone()
    for _ in range(3):
        current.requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(network(current), labels, reduction="sum"), current)
        current = current.detach() + STEP * gradient.sign()
        current = images + (current - images).clamp(-EPS, EPS)
        current = current.clamp(0, 1)
    return current


@pytest.mark.parametrize("fold", [True, False])
def test_the_loss_is_that_of_a_plain_loop(batch, fold):
    built = module(fold_batch_norm=fold)
    expected_images = loop(built.network, batch.images, batch.labels)
    reference = copy.deepcopy(built.network)
    expected = cross_entropy(reference(expected_images), batch.labels)
    loss, _ = built.training_loss(batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)
    # The training step, not the attack, moves the running statistics: once.
    for one, other in zip(built.network.buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_attack_follows_the_weights_of_each_step(batch):
    folded, plain = module(fold_batch_norm=True), module(fold_batch_norm=False)
    for built in (folded, plain):
        optimizer = torch.optim.SGD(built.network.parameters(), lr=0.1)
        for _ in range(3):
            loss, _ = built.training_loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for one, other in zip(folded.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_batch_norm_in_training_mode_moves_running_statistics_in_the_attack_too(batch):
    built = module(batch_norm="train")
    built.training_loss(batch)
    # Three steps of the attack and the training step itself.
    assert built.network.bn1.num_batches_tracked == 4
    assert built.network.training


def test_eps_rises_step_by_step_over_the_warm_up():
    built = module(warmup=2.0)
    factors = []
    for step in (0, 9, 19, 25):
        built._trainer.global_step = step
        factors.append(built.eps_factor())
    # Two epochs of ten steps: step 0 is the first of twenty.
    assert factors == pytest.approx([0.05, 0.5, 1.0, 1.0])
    half = built.warmed_up(0.5)
    assert (half.eps, half.step_size) == (EPS / 2, STEP / 2)
    assert (built.attack.eps, built.attack.step_size) == (EPS, STEP)


def test_settings_that_are_not_allowed_are_named():
    with pytest.raises(ValueError, match="eps_warmup_epochs must not be negative, got -1"):
        module(warmup=-1.0)
    with pytest.raises(ValueError, match="must not be named 'clean' or 'all'"):
        module(attacks={"all": PGD()})
    with pytest.raises(ValueError, match=r"targeting names \['other'\], which are not among the attacks"):
        module(attacks={"pgd": PGD()}, targeting={"other": "second"})
