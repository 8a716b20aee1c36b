"""Tests of finding the head for class activation maps."""

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import relu

from advscope.frozen import MicroBatched
from advscope.head import Head, feature_maps, find_head
from advscope.layers import find_layer
from advscope.networks import CIFARResNet, Library, MadryResNet, PreActResNet18, ResNet18

SUPPORTED: dict[str, tuple[Callable[[], nn.Module], Head]] = {
    "resnet8": (lambda: CIFARResNet(8), Head("layer3", False, "linear")),
    "resnet18": (ResNet18, Head("layer4", False, "fc")),
    "preact18": (PreActResNet18, Head("relu", False, "linear")),
    "madry": (lambda: MadryResNet(widths=(4, 4, 8, 16), units=1), Head("relu", False, "linear")),
    "torchvision-resnet18": (torchvision.models.resnet18, Head("layer4", False, "fc")),
    "torchvision-resnet50": (
        lambda: Library("torchvision/resnet50", num_classes=9),
        Head("network.layer4", False, "network.fc"),
    ),
    "torchvision-mobilenet": (
        lambda: Library("torchvision/mobilenet_v2"),
        Head("network.features", False, "network.classifier.1"),
    ),
    "timm-resnet18": (lambda: Library("timm/resnet18"), Head("network.layer4", False, "network.fc")),
    # Convolutions of 1 x 1 on the pooled map, and on the map before it is pooled.
    "timm-resnetv2": (lambda: timm.create_model("resnetv2_50"), Head("norm", False, "head.fc")),
    "convolution-after": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 4, 1), nn.Flatten()),
        Head("0", False, "2"),
    ),
    "convolution-before": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        Head("0", False, "1"),
    ),
    "convolution-before-of-a-function": (lambda: ConvolutionBefore(), Head("head", True, "head")),
}


class ConvolutionBefore(nn.Module):
    """A head of 1 x 1 convolutions on a map that no module returns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(relu(self.conv(images))).mean((2, 3))


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


@pytest.mark.parametrize("name", SUPPORTED)
def test_finds_it_and_the_map_times_the_weights_is_the_logits(name: str) -> None:
    torch.manual_seed(0)
    make, expected = SUPPORTED[name]
    network = make().double()
    size = 64 if name.startswith(("torchvision", "timm")) else 16
    images = torch.rand(2, 3, size, size, dtype=torch.float64)

    head = find_head(network.train(), images)  # training mode stays, and does not matter

    assert head == expected
    assert all(module.training for module in network.modules())
    assert hooks(network) == 0
    with torch.no_grad():
        maps, logits = feature_maps(network.eval(), images, head)
    linear = find_layer(network, head.linear)
    assert maps.ndim == 4
    assert maps[0, 0].numel() > 1
    # The definition of a class activation map: its average over positions, and the bias, is the logit.
    class_maps = torch.einsum("nchw,kc->nkhw", maps, linear.weight.flatten(1))
    torch.testing.assert_close(class_maps.mean(dim=(2, 3)) + linear.bias, logits, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(logits, network(images), rtol=1e-10, atol=1e-10)


class FunctionalReLU(nn.Module):
    """Activates with a function, so that the last feature map is the output of no module."""

    def __init__(self, bias: bool = True, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.9)
        self.linear = nn.Linear(6, 4, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.dropout(self.pool(relu(self.conv(images))).flatten(1)))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [None, 1, 2])
def test_takes_the_input_of_the_pooling_where_no_layer_returns_the_map(bias: bool, size: int | None) -> None:
    network = FunctionalReLU(bias).eval()
    subject = network if size is None else MicroBatched(network, size)
    images = torch.rand(3, 3, 6, 6)

    head = find_head(subject, images)
    with torch.no_grad():
        maps, logits = feature_maps(subject, images, head)

        assert head == Head("pool", True, "linear")
        torch.testing.assert_close(maps, relu(network.conv(images)))
        torch.testing.assert_close(logits, network(images))
    assert hooks(network) == 0


def test_works_on_micro_batches_and_counts_no_pass_there() -> None:
    network = CIFARResNet(8, width=4).eval()
    batched = MicroBatched(network, 2)
    images = torch.rand(5, 3, 16, 16)

    with torch.inference_mode():
        head = find_head(batched, images)
        assert batched.forwards == 0
        maps, logits = feature_maps(batched, images, head)

        assert maps.shape == (5, 16, 4, 4)
        assert logits.shape == (5, 10)
        torch.testing.assert_close(maps, feature_maps(network, images, head)[0])


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_finds_it_at_every_precision(precision: torch.dtype) -> None:
    network = CIFARResNet(20).to(precision)

    for seed in range(5):
        images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).to(precision)
        assert find_head(network, images) == Head("layer3", False, "linear")


def test_finds_it_in_an_untrained_network_whose_last_map_is_zero() -> None:
    network = CIFARResNet(8, width=4).eval()
    nn.init.constant_(network.layer3[0].bn2.bias, -100)

    assert find_head(network, torch.rand(1, 3, 16, 16)) == Head("layer3", False, "linear")


class ReusedReLU(FunctionalReLU):
    """Activates twice with one module, so that its name does not say which output is the last feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(6, 6, 3)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.linear(self.pool(self.relu(self.second(self.relu(self.conv(images))))).flatten(1))


def test_names_no_layer_that_runs_twice() -> None:
    assert find_head(ReusedReLU(), torch.rand(1, 3, 8, 8)) == Head("pool", True, "linear")


def test_a_network_in_training_is_looked_at_in_evaluation_mode() -> None:
    # With dropout active, the linear layer's input would be no average; with BatchNorm active, its statistics move.
    network = nn.Sequential(nn.BatchNorm2d(3), FunctionalReLU()).train()

    assert find_head(network, torch.rand(1, 3, 6, 6)) == Head("1.pool", True, "1.linear")

    assert int(network[0].num_batches_tracked) == 0
    assert all(module.training for module in network.modules())


def test_modes_gradients_and_random_state_come_back() -> None:
    network = FunctionalReLU()
    network.linear.weight.requires_grad_(False)
    network.dropout.eval()
    state = torch.get_rng_state()

    find_head(network, torch.rand(1, 3, 6, 6, generator=torch.Generator()))

    assert network.training
    assert not network.dropout.training
    assert network.conv.weight.requires_grad
    assert not network.linear.weight.requires_grad
    assert torch.equal(state, torch.get_rng_state())


def test_the_average_of_averages_is_taken_nearest_to_the_head() -> None:
    # 8 x 8 positions, pooled to 4 x 4, pooled to 1: both maps would do; the last one of several positions is taken.
    network = nn.Sequential(
        nn.Conv2d(3, 5, 1), nn.AvgPool2d(2), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)
    )

    assert find_head(network, torch.rand(1, 3, 8, 8)) == Head("2", False, "5")


class Averaged(nn.Module):
    """Global average pooling."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))


class Tempered(nn.Module):
    """Divides the logits by a temperature after the linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = CIFARResNet(8, width=4)

    def forward(self, images: Tensor) -> Tensor:
        return self.inside(images) / 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torchvision.models.vgg11(), "VGG has no .* 'classifier.6', is not the global average"),
        (
            lambda: Library("torchvision/squeezenet1_1"),
            r"Library\(torchvision/squeezenet1_1\) has no .* are not the output of a linear layer",
        ),
        (lambda: nn.Sequential(CIFARResNet(8), nn.Softmax(1)), "Sequential has no .* not the output of a linear layer"),
        (Tempered, "Tempered has no .* not the output of a linear layer"),
        (lambda: FunctionalReLU(pool=nn.AdaptiveMaxPool2d(1)), "'linear', is not the global average"),
        # Convolutions that look at more than their own position, or at some channels alone, and one before a ReLU.
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Averaged()),
            "Sequential has no .* not the output of a linear layer",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1, groups=2), Averaged()),
            "Sequential has no .* not the output of a linear layer",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1, stride=2), Averaged()),
            "Sequential has no .* not the output of a linear layer",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True), Averaged()),
            "Sequential has no .* not the output of a linear layer",
        ),
        # Batch normalisation between pooling and head: its output is its own average, but no average of a map.
        (
            lambda: FunctionalReLU(pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.GroupNorm(2, 6))),
            "'linear', is not the global average",
        ),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2)), "'1', is not the global average"),
    ],
)
def test_refuses_other_heads_by_name(make: Callable[[], nn.Module], message: str) -> None:
    torch.manual_seed(0)
    network = make()

    with pytest.raises(ValueError, match=message) as caught:
        find_head(network, torch.rand(1, 3, 64, 64))

    assert str(caught.value).endswith("use GradCAM() instead")
    assert "\n" not in str(caught.value)
    assert hooks(network) == 0


def test_refuses_logits_that_are_not_finite_and_no_images() -> None:
    network = CIFARResNet(8, width=4)
    with pytest.raises(ValueError, match="needs an image"):
        find_head(network, torch.zeros(0, 3, 16, 16))
    nn.init.constant_(network.linear.bias, float("nan"))
    with pytest.raises(ValueError, match="does not return finite logits"):
        find_head(network, torch.rand(1, 3, 16, 16))


def test_hooks_are_removed_when_the_network_fails() -> None:
    network = CIFARResNet(8, width=4)

    with pytest.raises(RuntimeError):
        find_head(network, torch.rand(1, 5, 16, 16))

    assert hooks(network) == 0
