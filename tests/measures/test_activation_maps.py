"""Activation maps, against a loop over hooks, and what has none."""

import numpy as np
import pytest
import torch
from torch import nn

from advscope.frozen import MicroBatched
from advscope.layers import activations, blocks
from advscope.measures import activation_maps
from advscope.networks import CIFARResNet


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return CIFARResNet(8, width=8)


def images(count=5):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_equals_a_mean_over_whole_activations(network):
    network.train()
    found = activation_maps(MicroBatched(network, 2), images())
    assert network.training
    network.eval()
    with torch.no_grad():
        whole, _ = activations(MicroBatched(network, 2), images(), blocks(network))
    # The last block is the linear layer, which has no map.
    assert list(found) == blocks(network)[:-1]
    for name, maps in found.items():
        assert maps.dtype == torch.float32
        expected = np.array([[channel.astype(np.float64) for channel in image] for image in whole[name].numpy()]).mean(
            1
        )
        assert maps.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert [found[name].shape for name in ("conv1", "layer3.0")] == [(5, 16, 16), (5, 4, 4)]


def test_by_hand():
    network = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True), nn.Flatten())
    given = torch.tensor([[[[1.0, -4.0]], [[3.0, -2.0]]]])
    found = activation_maps(network, given.clone(), ["0", "1", "2"])
    # What a layer returned, before what follows changed it in place.
    assert {name: maps.tolist() for name, maps in found.items()} == {"0": [[[2.0, -3.0]]], "1": [[[2.0, 0.0]]]}


def test_no_batch_moves_them(network):
    network.eval()
    whole = activation_maps(MicroBatched(network, 4), images(), ["layer2.0"])["layer2.0"]
    alone = torch.cat(
        [activation_maps(MicroBatched(network, 4), each[None], ["layer2.0"])["layer2.0"] for each in images()]
    )
    assert torch.equal(whole, alone)


def test_the_first_twenty_blocks_are_taken():
    deep = CIFARResNet(50, width=2).eval()
    assert list(activation_maps(deep, images(1))) == blocks(deep)[:20]


def test_errors(network):
    with pytest.raises(ValueError, match=r"images must be float \(N, C, H, W\), got torch.float32 \(3, 16, 16\)"):
        activation_maps(network, images()[0])
    with pytest.raises(ValueError, match="has no layer 'layer9'; the nearest names are"):
        activation_maps(network, images(), ["layer9"])
    with pytest.raises(ValueError, match="Identity has no blocks to show, or layers is empty: name layers"):
        activation_maps(nn.Identity(), images())
