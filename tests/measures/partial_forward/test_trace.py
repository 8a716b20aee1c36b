"""The trace of a network: kept, renewed with the network, and without a mark on it."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn

from advscope.measures import grid_cells, promotion_suppression
from advscope.measures.partial_forward import NotApplicableError
from advscope.measures.partial_forward.trace import Trace, trace
from advscope.networks import CIFARResNet


def setting(count=2, dtype=torch.float64):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3), nn.Tanh(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ).to(dtype).eval()  # fmt: skip
    images, adversarials = torch.rand(2, count, 3, 17, 15, dtype=dtype)
    return network, images, adversarials, torch.zeros(count, dtype=torch.int64), torch.ones(count, dtype=torch.int64)


def both(network, *given):
    return (
        promotion_suppression(network, *given, cell_size=3, floor=1e-12, forward=forward).score
        for forward in ("partial", "full")
    )


@torch.no_grad()
def test_weights_are_read_every_time():
    network, *given = setting()
    before, _ = both(network, *given)
    changes = [
        lambda: network[0].weight.mul_(2),
        lambda: network[1].running_var.mul_(3),
        lambda: network.load_state_dict({name: value * 1.5 for name, value in network.state_dict().items()}),
        lambda: setattr(network[3], "weight", nn.Parameter(network[3].weight / 2)),
        lambda: setattr(network[3], "padding", (1, 1)),
        lambda: network.__setitem__(4, nn.ReLU()),
    ]
    for change in changes:
        change()
        after, full = both(network, *given)
        assert torch.allclose(after, full, rtol=1e-9)
        assert not torch.allclose(after, before, rtol=1e-3)
        before = after


def test_a_trace_is_kept_and_goes_with_its_network():
    network = setting()[0]
    assert trace(network) is trace(network)
    gone = weakref.ref(network)
    del network
    gc.collect()
    assert gone() is None


def test_tracing_leaves_the_network_as_found():
    network, *given = setting()
    network.train()
    network[1].eval()
    state, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    attributes = [set(vars(module)) for module in network.modules()]
    promotion_suppression(network, *given, cell_size=3, forward="partial")
    assert [module.training for module in network.modules()] == modes
    assert [set(vars(module)) for module in network.modules()] == attributes
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert network[2].inplace
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())


def test_the_traces_modules_hold_the_networks_own_tensors():
    network = CIFARResNet(8).eval()
    found = Trace(network)
    assert found.root is not network
    for name, parameter in network.named_parameters():
        assert found.attribute(name) is parameter


def test_hooks_are_refused_and_work_again_without():
    network, *given = setting()
    handle = network[3].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match='forward="partial" does not apply: 3 has forward hooks'):
        promotion_suppression(network, *given, cell_size=3, forward="partial")
    handle.remove()
    assert promotion_suppression(network, *given, cell_size=3, forward="partial").operations.max() < 1


def test_a_failed_trace_says_why():
    class Branching(nn.Module):
        def forward(self, images):
            return images.flatten(1) if images.mean() > 0 else -images.flatten(1)

    with pytest.raises(NotApplicableError, match=r"torch.fx cannot trace Branching \(symbolically traced variables"):
        Trace(Branching())


def test_a_network_of_two_inputs_is_refused():
    class Two(nn.Module):
        def forward(self, images, others):
            return (images + others).flatten(1)

    with pytest.raises(NotApplicableError, match="Two takes more than the images"):
        Trace(Two())


def test_plans_are_kept_for_a_few_grids():
    network, *given = setting()
    for size in range(2, 9):
        promotion_suppression(network, *given, cell_size=size, stride=2, forward="auto")
    assert 1 <= len(trace(network).plans) <= 4
    assert len(grid_cells(17, 15, 2, 2)) == 72
