"""Layerwise activation bias, against hand calculations and a plain numpy loop."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from advscope.frozen import MicroBatched
from advscope.layers import blocks
from advscope.measures import ActivationBias, LayerBias, activation_bias, activation_biases


class Small(nn.Module):
    """Two blocks, with BatchNorm and dropout between them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)
        self.images = 0

    def forward(self, images):
        self.images += len(images)
        return self.head(self.drop(self.norm(self.stem(images)).relu()).mean((2, 3)))


def batch(count=5):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, 6, 6, generator=generator)
    return images, (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def test_by_hand():
    # Activations 2 x: clean (2, 0) of norm 2, adversarial (6, 3): distance 5, relative 2.5; a clean 0 has no relative.
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    network[1].weight.data = 2 * torch.eye(2)
    images = torch.tensor([[[[1.0, 0.0]]], [[[0.0, 0.0]]]])
    adversarials = torch.tensor([[[[3.0, 1.5]]], [[[0.0, 0.5]]]])
    bias = activation_bias(network, images, adversarials)["1"]
    assert bias.raw.tolist() == [5.0, 1.0]
    assert bias.relative.tolist() == pytest.approx([2.5, math.nan], nan_ok=True)


@pytest.mark.parametrize("chunk_size", [1, 2, 64])
def test_equals_a_loop(chunk_size):
    network = Small().double().eval()
    images, adversarials = (tensor.double() for tensor in batch())
    biases = activation_bias(network, images, adversarials, ["stem", "norm", "head"], chunk_size=chunk_size)
    for row in range(5):
        stages = []
        for image in (images[row], adversarials[row]):
            stem = network.stem(image[None])
            norm = network.norm(stem)
            stages.append(
                [value.detach().numpy().astype(float) for value in (stem, norm, network.head(norm.relu().mean((2, 3))))]
            )
        for name, before, after in zip(("stem", "norm", "head"), *stages, strict=True):
            raw = math.sqrt(sum((a - b) ** 2 for a, b in zip(after.ravel(), before.ravel(), strict=True)))
            assert biases[name].raw[row].item() == pytest.approx(raw, rel=1e-9)
            assert biases[name].relative[row].item() == pytest.approx(raw / np.linalg.norm(before), rel=1e-9)


def test_measures_every_block_by_default_in_one_pass_each():
    network, (images, adversarials) = Small(), batch()
    biases = activation_bias(network, images, adversarials)
    assert list(biases) == blocks(network) == ["stem", "head"]
    assert network.images == 2 * 5


def test_sums_squares_in_float64():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Identity()

        def forward(self, images):
            return self.wide(images).flatten(1)[:, :2]

    images = torch.zeros(1, 1, 1500, 1500)
    moved = torch.full_like(images, 1e-4)
    moved[..., 0, 0] = 1.0
    bias = activation_bias(Wide(), images, moved, ["wide"])["wide"]
    small = float(torch.tensor(1e-4))
    assert bias.raw.item() == pytest.approx(math.sqrt(1 + (1500**2 - 1) * small**2), rel=1e-12)
    assert bias.raw.dtype == torch.float64


def test_is_the_same_bits_alone_on_micro_batches():
    network, (images, adversarials) = MicroBatched(Small(), 4), batch()
    whole = activation_bias(network, images, adversarials)
    alone = activation_bias(network, images[3:4], adversarials[3:4], chunk_size=1)
    for layer, bias in whole.items():
        assert torch.equal(bias.raw[3:4], alone[layer].raw)
        assert torch.equal(bias.relative[3:4], alone[layer].relative)


def test_equal_images_have_no_bias():
    network, (images, _) = Small(), batch()
    for bias in activation_bias(network, images, images).values():
        assert bias.raw.eq(0).all()
        assert bias.relative.eq(0).all()


def test_leaves_the_network_as_found_also_in_inference_mode_and_after_an_error():
    network, (images, adversarials) = Small().train(), batch()
    network.norm.eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    expected = activation_bias(network, images, adversarials)
    with torch.inference_mode():
        again = activation_bias(network, images.clone(), adversarials.clone())
    assert torch.equal(again["stem"].raw, expected["stem"].raw)
    with pytest.raises(RuntimeError):
        activation_bias(network, images[:, :1], adversarials[:, :1])  # the network fails inside
    assert network.training
    assert network.drop.training
    assert not network.norm.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_the_metric_knows_the_columns():
    network, (images, adversarials) = Small(), batch()
    biases = activation_bias(network, images, adversarials)
    metric = ActivationBias(list(biases))
    columns = ActivationBias.columns(biases)
    assert tuple(columns) == metric.quantities == ("stem/raw", "stem/relative", "head/raw", "head/relative")
    everyone = torch.ones(5, dtype=torch.bool)
    metric.update(columns, everyone, everyone)
    assert metric.compute()["head/relative"].value == pytest.approx(biases["head"].relative.mean().item())


def test_refuses_bad_arguments():
    network, (images, adversarials) = Small(), batch()
    with pytest.raises(ValueError, match="Small has no layer 'stm'; the nearest names are stem"):
        activation_bias(network, images, adversarials, ["stm"])
    with pytest.raises(ValueError, match="of one shape and type"):
        activation_bias(network, images, adversarials[:4])
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        activation_bias(network, images, adversarials, chunk_size=0)
    with pytest.raises(ValueError, match="no blocks to measure, or layers is empty"):
        activation_bias(network, images, adversarials, [])


@pytest.mark.parametrize("chunk_size", [2, 64])
def test_several_versions_at_once_are_each_by_itself(chunk_size):
    network, (images, adversarials) = MicroBatched(Small().eval(), 3), batch()
    versions = {"": adversarials, "noise": 2 * images - adversarials, "same": images}
    passes = network.forwards
    found = activation_biases(network, images, versions, chunk_size=chunk_size)
    assert network.forwards - passes == 4 * 5
    for name, others in versions.items():
        alone = activation_bias(network, images, others)
        assert list(found[name]) == list(alone)
        for layer in alone:
            assert torch.equal(found[name][layer].raw, alone[layer].raw)
            assert torch.equal(found[name][layer].relative, alone[layer].relative)
    assert not found["same"]["stem"].raw.any()


def test_names_of_a_control():
    assert ActivationBias(["a", "b"], ["noise"]).quantities == (
        "a/raw", "a/relative", "a/raw_noise", "a/relative_noise",
        "b/raw", "b/relative", "b/raw_noise", "b/relative_noise",
    )  # fmt: skip
    bias = {"a": LayerBias(torch.ones(1), torch.zeros(1))}
    assert list(ActivationBias.columns(bias, "noise")) == ["a/raw_noise", "a/relative_noise"]
