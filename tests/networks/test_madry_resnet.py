"""Tests of Madry's network against its original, written out in TensorFlow's terms."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from advscope.networks import MadryResNet
from advscope.networks.madry_resnet import MadryUnit


def original(features: Tensor, state: dict[str, Tensor], stride: int, activate_before_residual: bool) -> Tensor:
    """The `_residual` of MadryLab's model.py, step by step, on plain tensors."""

    def norm(values: Tensor, name: str) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scaled = (values.movedim(1, -1) - mean) / (variance + 0.001) ** 0.5
        return (scaled * state[f"{name}.weight"] + state[f"{name}.bias"]).movedim(-1, 1)

    def relu(values: Tensor) -> Tensor:
        return torch.where(values < 0, 0.1 * values, values)

    def same(values: Tensor, weight: Tensor, step: int) -> Tensor:
        """A convolution with TensorFlow's "SAME" padding: half before, the odd one after."""
        total = max((-(-values.shape[2] // step) - 1) * step + 3 - values.shape[2], 0)
        before, after = total // 2, total - total // 2
        return conv2d(pad(values, (before, after, before, after)), weight, stride=step)

    if activate_before_residual:
        values = relu(norm(features, "bn1"))
        shortcut = values
    else:
        shortcut = features
        values = relu(norm(features, "bn1"))
    values = same(values, state["conv1.weight"], stride)
    values = same(relu(norm(values, "bn2")), state["conv2.weight"], 1)
    out_channels, in_channels = values.shape[1], features.shape[1]
    if in_channels != out_channels:
        count, _, height, width = shortcut.shape
        windows = shortcut.reshape(count, in_channels, height // stride, stride, width // stride, stride)
        zeros = torch.zeros(count, (out_channels - in_channels) // 2, height // stride, width // stride).double()
        shortcut = torch.cat([zeros, windows.mean(dim=(3, 5)), zeros], dim=1)
    return values + shortcut


@pytest.mark.parametrize(("out_channels", "stride"), [(4, 1), (8, 1), (8, 2)])
@pytest.mark.parametrize("shared", [False, True])
def test_a_unit_equals_the_original(out_channels: int, stride: int, shared: bool) -> None:
    unit = MadryUnit(4, out_channels, stride, shared).double().eval()
    for name, tensor in unit.state_dict().items():
        if tensor.is_floating_point() and "conv" not in name:
            tensor.uniform_(0.2, 1.5)
            if "mean" in name or "bias" in name:
                tensor.sub_(0.8)
    features = torch.randn(2, 4, 6, 6, dtype=torch.float64)

    with torch.no_grad():
        result = unit(features)

    torch.testing.assert_close(result, original(features, unit.state_dict(), stride, shared), rtol=1e-12, atol=1e-12)


def test_only_the_very_first_unit_shares_its_activation() -> None:
    network = MadryResNet(widths=(4, 4, 8, 16))

    sharing = [name for name, module in network.named_modules() if getattr(module, "shared_activation", False)]

    assert sharing == ["layer1.0"]
    assert [len(stage) for stage in (network.layer1, network.layer2, network.layer3)] == [5, 5, 5]
    assert network.bn.eps == network.layer1[0].bn1.eps == 1e-3


def test_sizes_halve_twice_and_odd_ones_work() -> None:
    network = MadryResNet(widths=(4, 4, 8, 16), units=1).eval()

    assert network.layer3(network.layer2(torch.rand(1, 4, 32, 32))).shape == (1, 16, 8, 8)
    assert network(torch.rand(1, 3, 33, 35)).shape == (1, 10)
