"""Tests of labels against a network's outputs."""

import pytest
import torch
from torch import nn

from datamodules.class_range import check_labels, count_outputs


def test_labels_that_a_network_does_not_know_are_one_line() -> None:
    labels, indices = torch.tensor([-1, 0, 9, 12, 10]), torch.tensor([4, 3, 2, 8, 0])

    check_labels(labels, indices, 13)
    check_labels(labels[:0], indices[:0], 1)
    with pytest.raises(ValueError, match=r"2 of 5 images .* first of them image 8 with class 12: .* 0 ... 9") as raised:
        check_labels(labels, indices, 10)
    assert "\n" not in str(raised.value)


def test_outputs_are_counted_and_the_network_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.LazyLinear(7))
    network(torch.rand(2, 3, 8, 8))
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()

    assert count_outputs(network, (8, 8)) == 7

    assert network.training
    assert network[1].training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("network", [nn.Linear(3, 2), nn.Conv2d(3, 2, 1)], ids=["does not run", "gives maps"])
def test_a_network_that_does_not_tell_is_left_to_its_first_step(network: nn.Module) -> None:
    assert count_outputs(network, (8, 8)) is None
