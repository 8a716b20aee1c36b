"""Tests of a head that is remembered between calls."""

import pytest
import torch
from torch import nn

from advscope.head_maps import head_maps


def test_a_known_head_is_used_again_and_a_changed_network_looked_at_anew():
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    ).eval()
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def runs():
        """Return how often the network ran, and what was found."""
        times = []
        handle = network.register_forward_hook(lambda *_: times.append(1))
        with torch.no_grad():
            weight, features, logits = head_maps(network, images)
        handle.remove()
        torch.testing.assert_close(features.mean((2, 3)) @ weight.T + network[4].bias, logits)
        assert torch.equal(weight, network[4].weight)
        return len(times)

    assert runs() == 2
    assert runs() == 1
    # The ReLU moved behind the pooling: its old place no longer explains the logits.
    network[1], network[3] = nn.Identity(), nn.Sequential(nn.Flatten(), nn.ReLU())
    network[0].bias.data -= 10
    with torch.no_grad(), pytest.raises(ValueError, match="is not the global average of the feature map"):
        head_maps(network, images)
    network[1], network[3] = nn.ReLU(), nn.Flatten()
    network[0].bias.data += 10
    network[4] = nn.Linear(6, 9)
    assert runs() == 1  # the same place, with another weight


def test_a_head_whose_layer_does_not_run_any_more_is_looked_for_anew() -> None:
    class Switched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.linear = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 5)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.deep = True

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.first(images)
            pooled = self.pool(self.second(maps) * 2).flatten(1) if self.deep else maps.mean((2, 3))
            return self.linear(pooled)

    network, images = Switched().eval(), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert head_maps(network, images)[1].shape == (2, 4, 4, 4)
        network.deep = False
        assert head_maps(network, images)[1].shape == (2, 4, 6, 6)
        network.deep = True
        assert head_maps(network, images)[1].shape == (2, 4, 4, 4)
