"""Tests of finding layers and reading their outputs."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from advscope.frozen import MicroBatched
from advscope.layers import activations, blocks, find_layer, inner, recording
from advscope.networks import CIFARResNet, Library, MadryResNet, PreActResNet18, ResNet50


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return CIFARResNet(depth=8, width=4).double().eval()


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_micro_batches_give_the_same_activations(network: nn.Module, size: int) -> None:
    images = torch.rand(5, 3, 8, 8, dtype=torch.float64)
    names = blocks(network)

    with torch.no_grad():
        plain, logits = activations(network, images, names)
        batched, batched_logits = activations(MicroBatched(network, size), images, names)

    assert list(plain) == list(batched) == names
    for name in names:
        assert len(batched[name]) == 5
        torch.testing.assert_close(batched[name], plain[name], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(batched_logits, logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(plain["linear"], logits, rtol=0, atol=0)


def test_no_images_give_no_activations(network: nn.Module) -> None:
    for subject in (network, MicroBatched(network, 4)):
        outputs, logits = activations(subject, torch.zeros(0, 3, 8, 8, dtype=torch.float64), ["layer1"])
        assert outputs["layer1"].shape == (0, 4, 8, 8)
        assert logits.shape == (0, 10)


def test_outputs_are_those_at_the_moment_of_return() -> None:
    # torchvision's ReLU works in place: after the pass, the tensor that bn1 returned holds no negative number.
    network = torchvision.models.resnet18().eval()
    images = torch.rand(2, 3, 32, 32)

    with torch.no_grad():
        outputs, _ = activations(network, images, ["bn1"])

        torch.testing.assert_close(outputs["bn1"], network.bn1(network.conv1(images)))
    assert outputs["bn1"].min() < 0


def test_gradients_can_be_taken_towards_what_is_recorded(network: nn.Module) -> None:
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)

    with recording(network, ["layer3"]) as outputs:
        logits = network(images)
    (gradient,) = torch.autograd.grad(logits[:, 3].sum(), outputs["layer3"])

    # The head is an average over 2 x 2 positions and one linear layer: a weight divided by 4.
    expected = (network.linear.weight[3] / 4).view(1, -1, 1, 1).expand_as(gradient)
    torch.testing.assert_close(gradient, expected)


def test_hooks_are_removed(network: nn.Module) -> None:
    images = torch.rand(1, 3, 8, 8, dtype=torch.float64)

    with recording(network, ["conv1", "layer1.0"]):
        assert hooks(network) == 2
    activations(network, images, ["conv1"])

    assert hooks(network) == 0


def test_hooks_are_removed_after_errors(network: nn.Module) -> None:
    with pytest.raises(RuntimeError):
        activations(network, torch.rand(1, 5, 8, 8, dtype=torch.float64), ["conv1"])
    with pytest.raises(ValueError, match="no layer"):
        activations(network, torch.rand(1, 3, 8, 8, dtype=torch.float64), ["conv1", "conv9"])
    with pytest.raises(KeyError), recording(network, ["conv1"]):
        raise KeyError("the caller's own")

    assert hooks(network) == 0


def test_an_unknown_layer_names_the_nearest(network: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"CIFARResNet has no layer 'layer1.0.conv3'; the nearest .*layer1.0.conv1"):
        find_layer(MicroBatched(network), "layer1.0.conv3")
    with pytest.raises(ValueError, match="the nearest names are normalize, conv1, bn1"):
        find_layer(network, "@")


def test_layers_that_run_twice_or_never_are_refused() -> None:
    network = torchvision.models.resnet18().eval()
    network.unused = nn.Linear(1, 1)
    images = torch.rand(2, 3, 32, 32)

    with pytest.raises(ValueError, match=r"'layer1.0.relu' ran 2 times in one pass; name one that runs once"):
        activations(network, images, ["layer1.0.relu"])
    with pytest.raises(ValueError, match=r"'layer1.0.relu' ran 2 times"):
        activations(MicroBatched(network, 1), images, ["layer1.0.relu"])
    with pytest.raises(ValueError, match="'unused' ran 0 times"):
        activations(network, images, ["unused"])


def test_layers_that_return_no_tensor_are_refused() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.GRU(4, 3, batch_first=True)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.memory(images.flatten(1, 2))[0][:, -1]

    network = Recurrent()

    with pytest.raises(ValueError, match="'memory' returns a tuple, not a tensor"):
        activations(network, torch.rand(2, 3, 4, 4), ["memory"])
    assert hooks(network) == 0


def test_inner_takes_micro_batches_off() -> None:
    network = nn.Linear(2, 2)

    assert inner(network) is network
    assert inner(MicroBatched(network)) is network
    assert find_layer(MicroBatched(nn.Sequential(network)), "0") is network


def stages(counts: list[int], prefix: str = "") -> list[str]:
    return [f"{prefix}layer{stage}.{block}" for stage, n in enumerate(counts, 1) for block in range(n)]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (CIFARResNet, ["conv1", *stages([3, 3, 3]), "linear"]),
        (lambda: CIFARResNet(8, shortcut="B"), ["conv1", *stages([1, 1, 1]), "linear"]),
        (lambda: MadryResNet(widths=(4, 4, 8, 16)), ["conv1", *stages([5, 5, 5]), "linear"]),
        (PreActResNet18, ["conv1", *stages([2, 2, 2, 2]), "linear"]),
        (ResNet50, ["conv1", *stages([3, 4, 6, 3]), "fc"]),
        (torchvision.models.resnet18, ["conv1", *stages([2, 2, 2, 2]), "fc"]),
        (
            lambda: Library("torchvision/resnet18"),
            ["network.conv1", *stages([2, 2, 2, 2], "network."), "network.fc"],
        ),
        (lambda: Library("timm/resnet18"), ["network.conv1", *stages([2, 2, 2, 2], "network."), "network.fc"]),
        (
            lambda: timm.create_model("resnetv2_50"),
            [
                "stem.conv",
                *[f"stages.{stage}.blocks.{b}" for stage, n in enumerate([3, 4, 6, 3]) for b in range(n)],
                "head",
            ],
        ),
        (
            torchvision.models.mobilenet_v2,
            ["features.0.0", *[f"features.{block}" for block in range(1, 18)], "features.18.0", "classifier.1"],
        ),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), ["1"]),
        (
            lambda: nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(4, 2)),
            ["0.0", "2"],
        ),
    ],
)
def test_blocks_are_the_stem_each_residual_block_and_the_head(make, expected: list[str]) -> None:
    network = make()

    assert blocks(network) == expected
    assert blocks(MicroBatched(network)) == expected


@pytest.mark.parametrize("make", [CIFARResNet, lambda: MadryResNet(widths=(4, 4, 8, 16)), PreActResNet18])
def test_blocks_are_in_the_order_of_execution(make) -> None:
    network = make().eval()
    order: list[str] = []
    for name in blocks(network):
        find_layer(network, name).register_forward_hook(lambda *_, name=name: order.append(name))

    network(torch.rand(1, 3, 8, 8))

    assert order == blocks(network)
