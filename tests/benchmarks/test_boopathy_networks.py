"""The networks of Boopathy et al. against the same layers one after the other, with weights of no meaning."""

import numpy
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from advscope.layers import blocks
from benchmarks.boopathy_networks import NAMES, SmallGap, WResNet, boopathy_network


def arrays(shapes: list[tuple[int, ...]]) -> dict[str, numpy.ndarray]:
    """Return weights of these shapes, and a bias for all but the last."""
    generator = numpy.random.default_rng(0)
    made = {
        f"W{place:02d}": generator.normal(0, 0.2, shape).astype(numpy.float32) for place, shape in enumerate(shapes)
    }
    return made | {
        f"b{place:02d}": generator.normal(0, 0.2, shape[3]).astype(numpy.float32)
        for place, shape in enumerate(shapes[:-1])
    }


def convolve(maps: Tensor, made: dict[str, numpy.ndarray], number: int, stride: int = 1) -> Tensor:
    """Return a convolution that reads the pixels that TensorFlow's "SAME" padding says, of maps padded generously."""
    weight = torch.from_numpy(made[f"W{number:02d}"]).permute(3, 2, 0, 1)
    kernel, size = weight.shape[-1], maps.shape[-1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    wide = functional.conv2d(functional.pad(maps, (8, 8, 8, 8)), weight, torch.from_numpy(made[f"b{number:02d}"]))
    first, count = 8 - total // 2, -(-size // stride)
    return wide[:, :, first:, first:][:, :, ::stride, ::stride][:, :, :count, :count]


def head(maps: Tensor, weight: numpy.ndarray) -> Tensor:
    return maps.mean((2, 3)) @ torch.from_numpy(weight[0, 0])


def test_smallgap_is_three_convolutions_and_a_mean():
    made = arrays([(4, 4, 3, 5), (4, 4, 5, 6), (7, 7, 6, 9), (1, 1, 9, 10)])
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = convolve(images, made, 0, 2)
    maps = convolve(convolve(maps.relu(), made, 1, 2).relu(), made, 2)
    network = SmallGap(made)
    assert blocks(network) == ["conv1", "conv2", "conv3", "head"]
    torch.testing.assert_close(network(images), head(maps, made["W03"]), rtol=1e-4, atol=1e-5)


def test_wresnet_is_fifteen_pairs_on_a_trunk():
    widths = [4] * 5 + [8] * 5 + [16] * 5
    shapes = [(3, 3, 3, 4)]
    for before, width in zip([4, *widths], widths, strict=False):
        shapes += [(3, 3, before, width), (3, 3, width, width)]
    made = arrays([*shapes, (1, 1, 16, 10)])
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    trunk = convolve(images, made, 0)
    for pair in range(15):
        first, halved = 1 + 2 * pair, pair in (5, 10)
        out = convolve(convolve(trunk.relu(), made, first, 2 if halved else 1).relu(), made, first + 1)
        if halved:
            missing = (out.shape[1] - trunk.shape[1]) // 2
            zeros = torch.zeros(2, missing, 32 // 2 ** (pair // 5), 32 // 2 ** (pair // 5))
            pooled = (
                trunk[:, :, ::2, ::2] + trunk[:, :, 1::2, ::2] + trunk[:, :, ::2, 1::2] + trunk[:, :, 1::2, 1::2]
            ) / 4
            trunk = torch.cat([zeros, pooled, zeros], 1)
        trunk = trunk + out
    network = WResNet(made)
    names = [f"layer{stage}.{pair}" for stage in (1, 2, 3) for pair in range(5)]
    assert blocks(network) == ["stem", *names, "head"]
    torch.testing.assert_close(network(images), head(trunk, made["W31"]), rtol=1e-3, atol=1e-4)


def test_a_name_that_is_none_and_a_file_that_is_not_there_are_told(tmp_path):
    with pytest.raises(ValueError, match="no network 'wresnet'; there are wresnet_normal, wresnet_adv"):
        boopathy_network("wresnet", tmp_path)
    with pytest.raises(FileNotFoundError, match="cifar_smallgap_adv_200"):
        boopathy_network(NAMES[-1], tmp_path)
