"""Tests of the adapter to torchattacks."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from torch import nn

from advscope.attacks import PGD, Attack, FirstSuccess, TorchAttack
from advscope.attacks.torch_attack import torch_attack_names
from advscope.networks import CIFARResNet

torchattacks = pytest.importorskip("torchattacks")

ROOT = Path(__file__).parents[2]

SMALL = {
    "FGSM": {}, "PGD": {"steps": 2}, "CW": {"steps": 3}, "APGD": {"steps": 3}, "APGDT": {"steps": 3},
    "FAB": {"steps": 3}, "Square": {"n_queries": 20}, "Pixle": {"max_iterations": 2},
    "EADEN": {"max_iterations": 10, "binary_search_steps": 2},
    "JSMA": {"gamma": 0.02}, "DeepFool": {"steps": 3}, "AutoAttack": {"eps": 0.1},
    "OnePixel": {"steps": 1, "popsize": 4}, "PIFGSM": {},
}  # fmt: skip
"""Attacks of every kind, with settings that make them quick."""


def state(network):
    return (
        [module.training for module in network.modules()],
        [parameter.requires_grad for parameter in network.parameters()],
        [None if parameter.grad is None else parameter.grad.tolist() for parameter in network.parameters()],
        [sorted(module._forward_hooks) for module in network.modules()],
        {name: tensor.tolist() for name, tensor in network.state_dict().items()},
        (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),
    )


@pytest.mark.parametrize("name", SMALL)
def test_the_network_and_the_random_states_are_left_as_found(name, residual, examples):
    network = residual(classes=10)
    images, labels = examples(network, count=3)
    network.train()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    network[-1].weight.grad = torch.ones_like(network[-1].weight)
    network[3].register_forward_hook(lambda *_: None)
    attack = TorchAttack(name, **SMALL[name])
    before = state(network)
    with torch.inference_mode():
        first = attack(network, images, labels)
    assert state(network) == before
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    assert torch.equal(attack(network, images, labels), first)
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert not first.requires_grad


@pytest.mark.parametrize("name", torch_attack_names())
def test_every_attack_of_the_catalogue_constructs(name, residual):
    attack = TorchAttack(name)
    assert attack == TorchAttack(name)
    assert json.loads(json.dumps(attack.settings())) == {"class": "TorchAttack", "name": name, "seed": 0}
    assert isinstance(getattr(torchattacks, name)(residual()), torchattacks.attack.Attack)


def test_the_catalogue_is_that_of_torchattacks_without_its_wrappers():
    assert set(torch_attack_names()) == set(torchattacks.__all__) - set(torchattacks.__wrapper__)
    assert len(torch_attack_names()) >= 37


@pytest.mark.parametrize("name", ["PGD", "APGD", "FAB", "Square", "EADL1"])
def test_results_are_those_of_torchattacks(name, residual, examples):
    network = residual(classes=10)
    images, labels = examples(network)
    settings = {"PGD": {"steps": 4, "eps": 0.02}, "Square": {"n_queries": 30}, "EADL1": {"max_iterations": 10}}.get(
        name, {}
    )
    # APGD, FAB and Square take a seed of their own; the others draw from the global state.
    own = {"seed": 5} if name in ("APGD", "FAB", "Square") else {}
    torch.manual_seed(5)
    theirs = getattr(torchattacks, name)(network, **settings, **own)(images, labels)
    ours = TorchAttack(name, seed=5, **settings)(network, images, labels)
    assert torch.equal(ours, theirs.detach())
    assert not torch.equal(ours, images)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, settings) for name, settings in SMALL.items() if name != "JSMA"),
        ("FAB", {"steps": 3, "multi_targeted": True}),
    ],
)
def test_networks_and_images_in_channels_last_are_attacked(name, settings):
    torch.manual_seed(0)
    network = CIFARResNet(8).eval().to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 32, 32).to(memory_format=torch.channels_last)
    found = TorchAttack(name, **settings)(network, images, network(images).argmax(1))
    assert found.shape == images.shape


@pytest.mark.parametrize("name", SMALL)
def test_a_mask_holds_and_frees_an_image_from_its_batch(name, residual, examples):
    network = residual(classes=10, dtype=torch.float32)
    images, labels = examples(network, count=4)
    mask = torch.zeros(4, 1, 12, 12, dtype=torch.bool)
    mask[0, :, 2:9, 1:8], mask[1], mask[3, :, 5:, :] = True, True, True
    indices = torch.tensor([9, 8, 7, 6])
    attack = TorchAttack(name, **SMALL[name])

    def run(rows):
        return attack(network, images[rows], labels[rows], None, indices[rows], 0, mask[rows])

    whole = run([0, 1, 2, 3])
    outside = ~mask.expand_as(images)
    assert torch.equal(whole[outside], images[outside])
    # So few steps of EAD change no pixel by more than its threshold.
    assert name == "EADEN" or not torch.equal(whole, images)
    torch.testing.assert_close(run([3, 0]), whole[[3, 0]], rtol=0, atol=1e-6)


def test_a_masked_attack_searches_inside_the_mask(residual, examples):
    # BIM has no random start, so that its masked form is IFGSM inside the mask.
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    mask = torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(3)) < 0.3
    theirs = TorchAttack("BIM", eps=0.1, alpha=0.03, steps=5)(network, images, labels, mask=mask)
    ours = PGD(eps=0.1, step_size=0.03, steps=5, random_start=False)(network, images, labels, mask=mask)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
    cut = torch.where(mask, TorchAttack("BIM", eps=0.1, alpha=0.03, steps=5)(network, images, labels), images)
    assert (theirs - cut).abs().max() > 0.01


def test_masked_noise_is_a_function_of_seed_draw_and_index(residual, examples):
    network = residual()
    images, labels = examples(network, count=2)
    images = images[:1].expand(2, -1, -1, -1)
    mask = torch.ones(2, 1, 12, 12, dtype=torch.bool)

    def noise(indices, seed=0, draw=0):
        return TorchAttack("GN", seed=seed, std=0.01)(network, images, labels, None, torch.tensor(indices), draw, mask)

    first = noise([3, 3])
    assert torch.equal(first[0], first[1])
    assert torch.equal(noise([5, 3])[1], first[0])
    for other in (noise([4, 5]), noise([3, 3], seed=1), noise([3, 3], draw=1)):
        assert (other != first).flatten(1).any(1).all()


def test_targets_are_reached(residual, examples):
    network = residual()
    images, labels = examples(network)
    targets = (labels + 1) % 5
    for name in ("BIM", "Square", "EADEN"):
        settings = {"BIM": {"eps": 0.2}, "Square": {"eps": 0.3, "n_queries": 300}, "EADEN": {}}[name]
        found = TorchAttack(name, **settings)(network, images, labels, targets)
        assert (network(found).argmax(1) == targets).float().mean() > 0.6, name


@pytest.mark.parametrize("name", ["APGD", "FAB", "Jitter"])
def test_targets_are_refused_where_the_attack_cannot_reach_them(name, residual, examples):
    network = residual()
    images, labels = examples(network)
    with pytest.raises(ValueError, match=f"torchattacks' {name} has no targeted mode that works"):
        TorchAttack(name)(network, images, labels, (labels + 1) % 5)


def test_seed_and_draw_change_the_noise(residual, examples):
    network = residual()
    images, labels = examples(network)

    def noise(seed=0, draw=0):
        return TorchAttack("GN", seed=seed, std=0.01)(network, images, labels, draw=draw)

    assert torch.equal(noise(), noise())
    assert torch.equal(noise(draw=3), noise(draw=3))
    assert not torch.equal(noise(), noise(seed=1))
    assert not torch.equal(noise(), noise(draw=1))


def test_the_number_of_classes_is_asked_of_the_network(residual, examples):
    # With torchattacks' default of 10 classes, APGDT fails on a network with 5.
    network = residual(classes=5)
    images, labels = examples(network)
    found = TorchAttack("APGDT", steps=4, eps=0.03)(network, images, labels)
    assert (network(found).argmax(1) != labels).all()


def test_a_network_without_parameters_can_be_attacked():
    class Brightness(nn.Module):
        def forward(self, images):
            bright = 10 * (images.mean((1, 2, 3)) - 0.5)
            return torch.stack([-bright, bright], dim=1)

    images = torch.full((2, 1, 4, 4), 0.52)
    found = TorchAttack("FGSM", eps=0.1)(Brightness(), images, torch.tensor([1, 1]))
    torch.testing.assert_close(found, images - 0.1)


def test_the_constructor_is_usable_from_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--attack", type=Attack)
    text = """
    attack:
      class_path: advscope.attacks.FirstSuccess
      init_args:
        attacks:
          - class_path: advscope.attacks.TorchAttack
            init_args: {name: CW, seed: 3}
            dict_kwargs: {c: 2, kappa: 0.5}
          - class_path: advscope.attacks.TorchAttack
            init_args: {name: Square}
    """
    config = parser.parse_object(yaml.safe_load(text))
    expected = FirstSuccess([TorchAttack("CW", c=2, kappa=0.5, seed=3), TorchAttack("Square")])
    assert parser.instantiate(config).attack == expected
    again = parser.parse_object(yaml.safe_load(parser.dump(config)))
    assert parser.instantiate(again).attack == expected


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("APDG", {}, "torchattacks has no attack 'APDG'; the nearest names are APGD"),
        ("MultiAttack", {}, "torchattacks' MultiAttack is no attack by itself: use advscope.attacks.FirstSuccess"),
        ("LGV", {}, "torchattacks' LGV is no attack by itself: it trains networks on data"),
        (
            "CW",
            {"confidence": 1},
            "torchattacks' CW takes no setting confidence; its settings are: c, kappa, steps, lr",
        ),
        ("VANILA", {"eps": 1}, "takes no setting eps; its settings are: none"),
        ("CW", {"c": object()}, "settings must be numbers, words, lists or null"),
        ("CW", {"seed": -1}, "seed must be at least 0 and below 2\\*\\*32, got -1"),
    ],
)
def test_bad_settings_are_named(name, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        TorchAttack(name, **settings)
    assert "\n" not in str(error.value)


def test_the_command_is_given_where_torchattacks_is_missing():
    code = "import sys; sys.modules['torchattacks'] = None\nfrom advscope.attacks import TorchAttack\nTorchAttack('CW')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.strip().endswith(
        "ImportError: torchattacks is not installed: pip install --no-deps torchattacks"
    )


def test_importing_the_package_leaves_torchattacks_alone():
    code = "import sys, advscope.attacks; sys.exit('torchattacks' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_random_state_of_cuda_is_left_as_found(residual, examples):
    network = residual(classes=10)
    images, labels = examples(network)
    network.cuda()
    torch.cuda.manual_seed_all(7)
    before = torch.cuda.get_rng_state_all()
    for name in ("APGD", "Square", "PGD"):
        TorchAttack(name)(network, images.cuda(), labels.cuda())
    assert all(torch.equal(one, other) for one, other in zip(before, torch.cuda.get_rng_state_all(), strict=True))
