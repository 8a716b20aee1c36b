"""Tests of the shortcut without weights."""

import pytest
import torch
from torch import Tensor

from advscope.networks.shortcut import PaddingShortcut


def looped(features: Tensor, out_channels: int, stride: int, average: bool) -> Tensor:
    """The same, value by value."""
    count, channels, height, width = features.shape
    result = torch.zeros(count, out_channels, -(-height // stride), -(-width // stride), dtype=features.dtype)
    for n in range(count):
        for c in range(channels):
            for i in range(0, height, stride):
                for j in range(0, width, stride):
                    window = [features[n, c, i + a, j + b] for a in range(stride) for b in range(stride)]
                    value = sum(window) / len(window) if average else window[0]
                    result[n, c + (out_channels - channels) // 2, i // stride, j // stride] = value
    return result


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize(("out_channels", "stride"), [(6, 2), (5, 2), (3, 2), (7, 1)])
def test_equals_plain_loops(out_channels: int, stride: int, average: bool) -> None:
    features = torch.rand(2, 3, 4, 6, dtype=torch.float64)

    shortened = PaddingShortcut(3, out_channels, stride, average)(features)

    torch.testing.assert_close(shortened, looped(features, out_channels, stride, average), rtol=1e-14, atol=0)


def test_by_hand() -> None:
    # One channel of 2 x 2 positions becomes the middle one of three.
    features = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])

    assert PaddingShortcut(1, 3, 2)(features).flatten().tolist() == [0, 1, 0]
    assert PaddingShortcut(1, 3, 2, average=True)(features).flatten().tolist() == [0, 3, 0]


def test_subsamples_odd_sizes_as_the_convolution_beside_it_does() -> None:
    convolution = torch.nn.Conv2d(2, 4, 3, stride=2, padding=1)
    features = torch.rand(1, 2, 7, 5)

    assert PaddingShortcut(2, 4, 2)(features).shape == convolution(features).shape


def test_refuses_to_drop_channels() -> None:
    with pytest.raises(ValueError, match="cannot go from 4 to 2 channels"):
        PaddingShortcut(4, 2, 1)
