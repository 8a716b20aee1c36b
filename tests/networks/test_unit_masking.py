"""A network with masked units, against weights that are set to 0, and what it leaves as it was."""

import copy

import pytest
import torch
from torch import nn

from advscope.attacks import PGD
from advscope.frozen import MicroBatched
from advscope.networks import CIFARResNet, UnitMasking


class Plain(nn.Module):
    """Two convolutions without bias and a linear layer; what reads a unit can be set to 0 by hand."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 3))
        self.hidden = nn.Linear(5, 7)
        self.head = nn.Linear(7, 4)

    def forward(self, images):
        return self.head(self.hidden(self.body(images).relu().mean((2, 3))))


def images(count=5):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def without_inputs(network, reader, units):
    """Return a copy whose layer ``reader`` has no weight from some units: the same as if they were 0."""
    twin = copy.deepcopy(network)
    twin.get_submodule(reader).weight.data[:, units] = 0
    return twin


@pytest.mark.parametrize(("layer", "reader"), [("body.0", "body.2"), ("hidden", "head")])
def test_masked_units_are_as_if_none_read_them(layer, reader):
    network = Plain()
    units = [4, 1]
    masked = UnitMasking(network, {layer: units})(images())
    assert torch.allclose(masked, without_inputs(network, reader, units)(images()), atol=1e-6)
    assert not torch.allclose(masked, network(images()), atol=1e-5)


def test_gradients_are_those_of_the_network_without_them():
    network = Plain()
    found = []
    for each in (UnitMasking(network, {"body.0": [0, 5], "hidden": [2]}),
                 without_inputs(without_inputs(network, "body.2", [0, 5]), "head", [2])):  # fmt: skip
        given = images().requires_grad_()
        each(given)[:, 1].sum().backward()
        found.append(given.grad)
    assert torch.allclose(*found, atol=1e-7)
    assert found[0].abs().sum() > 0


def test_all_units_masked_leave_the_same_logits_for_every_image_and_no_gradient():
    given = images().requires_grad_()
    logits = UnitMasking(Plain(), {"body.0": range(6)})(given)
    logits.sum().backward()
    assert not given.grad.any()
    assert torch.allclose(logits, logits[:1].expand(5, 4), atol=1e-6)


def test_no_units_are_the_network_itself():
    network = Plain()
    for units in ({}, {"body.0": []}):
        assert torch.equal(UnitMasking(network, units)(images()), network(images()))


def test_an_undefined_unit_is_masked_too():
    network = nn.Sequential(nn.Flatten(), nn.Identity())
    given = torch.tensor([1.0, torch.inf, torch.nan]).view(1, 3, 1, 1)
    assert UnitMasking(network, {"1": [1, 2]})(given).tolist() == [[1.0, 0.0, 0.0]]


def test_the_network_is_left_as_found():
    network = Plain().train()
    before = copy.deepcopy(network.state_dict())
    masked = UnitMasking(network, {"body.2": [1]})
    PGD(eps=0.1, step_size=0.05, steps=2)(masked, images(), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(RuntimeError):
        masked(torch.rand(2, 1, 8, 8))
    assert network.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert set(masked.state_dict()) == {f"network.{name}" for name in before}
    masked.load_state_dict({f"network.{name}": torch.zeros_like(value) for name, value in before.items()})
    assert not network.head.weight.any()


def test_runs_in_micro_batches_and_in_inference_mode():
    torch.manual_seed(0)
    network = CIFARResNet(8, width=8).eval()
    with torch.inference_mode():
        masked = MicroBatched(UnitMasking(network, {"layer2.0": [0, 3, 9], "conv1": [1]}), 4)
        attacked = PGD(eps=0.1, step_size=0.05, steps=2)(masked, images(7), torch.arange(7) % 3)
        whole = masked(attacked)
    again = PGD(eps=0.1, step_size=0.05, steps=2)(masked, images(7), torch.arange(7) % 3)
    assert torch.equal(attacked, again)
    assert torch.equal(torch.cat([masked(row[None]) for row in attacked]), whole)
    plain = PGD(eps=0.1, step_size=0.05, steps=2)(MicroBatched(network, 4), images(7), torch.arange(7) % 3)
    assert not torch.equal(plain, attacked)


def test_copies_are_of_their_own():
    masked = UnitMasking(Plain(), {"hidden": [6]})
    twin = copy.deepcopy(masked)
    twin.network.head.weight.data.zero_()
    assert torch.equal(masked(images()), without_inputs(masked.network, "head", [6])(images()))


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"body.9": [0]}, "Plain has no layer 'body.9'; the nearest names are body"),
        ({"hidden": [1, -1]}, "layer 'hidden': units count from 0, got -1"),
        ({"hidden": [2, 1, 2]}, "layer 'hidden': unit 2 is named twice; name each once"),
    ],
)
def test_errors_when_it_is_made(units, message):
    with pytest.raises(ValueError, match=message):
        UnitMasking(Plain(), units)


class Odd(nn.Module):
    """A layer that runs twice, one that never does, a pair of outputs, and one of three axes."""

    def __init__(self):
        super().__init__()
        self.twice, self.never, self.tokens = nn.Identity(), nn.Identity(), nn.Flatten(2)
        self.pair = nn.LSTM(8, 2)

    def forward(self, images):
        self.pair(images[0, 0])
        return self.tokens(self.twice(self.twice(images))).mean(2)


@pytest.mark.parametrize(
    ("layer", "unit", "message"),
    [
        ("twice", 0, "layer 'twice' ran 2 times in one pass; name one that runs once"),
        ("never", 0, "layer 'never' ran 0 times"),
        ("pair", 0, "layer 'pair' returns a tuple, not a tensor"),
        ("tokens", 0, r"layer 'tokens' must return \(N, K\) or \(N, K, h, w\), got \(5, 3, 64\)"),
        ("twice", 3, "layer 'twice' has the units 0 to 2, got 3"),
    ],
)
def test_errors_when_it_is_called(layer, unit, message):
    network = Odd()
    with pytest.raises(ValueError, match=message):
        UnitMasking(network, {layer: [unit]})(images())
    assert not any(module._forward_hooks for module in network.modules())
