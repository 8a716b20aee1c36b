"""Tests of what all networks have in common."""

from collections.abc import Callable

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from advscope.frozen import FoldedBatchNorm
from advscope.networks import (
    CIFARResNet,
    MadryResNet,
    Normalize,
    PerImageStandardize,
    PreActResNet18,
    ResNet18,
    ResNet34,
    ResNet50,
)

NARROW = (16, 16, 32, 64)
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "resnet20": CIFARResNet,
    "resnet20-b": lambda **given: CIFARResNet(shortcut="B", **given),
    "resnet18": ResNet18,
    "resnet50": ResNet50,
    "preact18": PreActResNet18,
    "madry": lambda **given: MadryResNet(widths=NARROW, **given),
}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A network whose BatchNorms are not at their initial state."""
    network = NETWORKS[request.param](num_classes=7).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


def test_an_image_has_the_same_logits_in_every_batch_and_memory_format(network: nn.Module) -> None:
    images = torch.rand(4, 3, 16, 16, dtype=torch.float64)

    with torch.no_grad():
        logits = network(images)
        alone = torch.cat([network(image[None]) for image in images])
        channels_last = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))

    assert logits.shape == (4, 7)
    torch.testing.assert_close(alone, logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(channels_last, logits, rtol=1e-12, atol=1e-12)


def test_modules_are_called_once_so_that_each_output_can_be_read(network: nn.Module) -> None:
    calls: dict[str, int] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))

    with torch.no_grad():
        network(torch.rand(1, 3, 16, 16, dtype=torch.float64))

    assert calls == dict.fromkeys(dict(network.named_modules()), 1)
    assert next(iter(calls)).startswith("normalize")


# Convolutions whose output goes to a BatchNorm and nowhere else.
# ResNet-20: 1 + 9 blocks of 2 = 19; with option B 2 projections more. ResNet-18: 1 + 8 * 2 + 3 projections = 20.
# ResNet-50: 1 + 16 * 3 + 4 projections = 53. Pre-activation blocks: conv1 -> bn2 alone, conv2 feeds a sum: 8.
# Madry: 15 units, and the stem, whose output the first unit takes through its shared activation alone: 16.
@pytest.mark.parametrize(
    ("name", "pairs"),
    [("resnet20", 19), ("resnet20-b", 21), ("resnet18", 20), ("resnet50", 53), ("preact18", 8), ("madry", 16)],
)
def test_batch_norm_folds_and_leaves_the_logits(name: str, pairs: int) -> None:
    network = NETWORKS[name]().double()
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        network(images)  # in training mode: moves the running statistics
        network.eval()

        folded = FoldedBatchNorm(network)

        assert len(folded.folded) == pairs
        torch.testing.assert_close(folded(images), network(images), rtol=1e-10, atol=1e-10)


def test_any_layer_can_normalise() -> None:
    images = torch.rand(2, 3, 16, 16)
    for make in NETWORKS.values():
        layer = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        network = make(normalize=layer).eval()
        assert network.normalize is layer
        brighter = make(normalize=PerImageStandardize()).eval()
        # What standardises each image sees no difference between an image and one of half the contrast.
        torch.testing.assert_close(brighter(images / 2 + 0.25), brighter(images), rtol=1e-3, atol=1e-3)
        assert (network(images / 2 + 0.25) - network(images)).abs().max() > 1e-2


def test_their_own_first_layers() -> None:
    assert isinstance(MadryResNet(widths=NARROW).normalize, PerImageStandardize)
    assert CIFARResNet().normalize.std.flatten().tolist() == pytest.approx([0.2470, 0.2435, 0.2616])


def test_convolutions_start_with_the_variance_of_the_paper() -> None:
    # layer3.4.conv2 of w32-10 has 3 * 3 * 64 outgoing weights per input: variance 2 / 576, over 36,864 draws within 3%.
    network = MadryResNet(widths=NARROW)

    weight = network.get_submodule("layer3.4.conv2").weight
    assert float(weight.var()) == pytest.approx(2 / 576, rel=0.03)
    # Strided and widening: fan-out counts the channels that go out (64), not those that come in (32).
    assert float(network.get_submodule("layer3.0.conv1").weight.var()) == pytest.approx(2 / 576, rel=0.05)
    # U(-b, b) with b = sqrt(3 / 64) has variance b^2 / 3 = 1 / 64.
    assert float(network.linear.weight.var()) == pytest.approx(1 / 64, rel=0.15)
    assert float(network.linear.weight.abs().max()) <= (3 / 64) ** 0.5


def test_parameter_counts_by_hand() -> None:
    # ResNet-20, option A. BatchNorm has 2 parameters a channel.
    # Stem 3*16*9 + 32 = 464. Stage 1: 6 * (16*16*9 + 32) = 14,016. Stage 2: 16*32*9 + 5 * 32*32*9 + 6 * 64 = 51,072.
    # Stage 3: 32*64*9 + 5 * 64*64*9 + 6 * 128 = 203,520. Linear: 650. Sum: 269,722 (the paper's 0.27 million).
    assert count(CIFARResNet(20)) == 269_722
    # Option B adds two projections: 16*32 + 64 + 32*64 + 128 = 2,752.
    assert count(CIFARResNet(20, shortcut="B")) == 272_474
    # ResNet-56: 6 more blocks a stage, of 2 * (16*16*9 + 32) = 4,672, 18,560 and 73,984: 6 * 97,216 = 583,296 more.
    assert count(CIFARResNet(56)) == 853_018
    # The published counts of the usual CIFAR networks.
    assert count(ResNet18()) == 11_173_962
    assert count(ResNet50()) == 23_520_842
    # ResNet-34 adds 1, 2, 4 and 1 blocks of 2 * (c*c*9 + 2c): 73,984 + 2 * 295,424 + 4 * 1,180,672 + 4,720,640.
    assert count(ResNet34()) == 11_173_962 + 10_108_160
    # Stem 1,728; stages 147,968 - each conv 9*a*b, BatchNorm 2 a channel, see ResNet-18 - with the projections' three
    # BatchNorms (2 * (128 + 256 + 512) = 1,792) gone and those before the blocks instead of after: 11,172,170.
    assert count(PreActResNet18()) == 11_173_962 - 1_792
    # w32-10: stem 3*16*9 = 432.
    # Stage 1: first unit 32 + 16*160*9 + 320 + 160*160*9 = 253,792; four of 2 * (320 + 230,400) = 461,440.
    # Stage 2: first 320 + 160*320*9 + 640 + 320*320*9 = 1,383,360; four of 2 * (640 + 921,600) = 1,844,480.
    # Stage 3: first 640 + 320*640*9 + 1,280 + 640*640*9 = 5,531,520; four of 2 * (1,280 + 3,686,400) = 7,375,360.
    # Last BatchNorm 1,280; linear 640*10 + 10 = 6,410. Sum: 45,901,914.
    with torch.device("meta"):
        assert count(MadryResNet()) == 45_901_914


def test_depths_and_widths() -> None:
    network = CIFARResNet(depth=14, width=4, num_classes=3)

    # 1 stem, 3 stages of 2 blocks of 2 convolutions, 1 linear layer: 14.
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()) == 14
    assert network.linear.weight.shape == (3, 16)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CIFARResNet(depth=18), r"depth must be 6n \+ 2 .* got 18"),
        (lambda: CIFARResNet(depth=2), "got 2"),
        (lambda: CIFARResNet(shortcut="C"), 'shortcut must be "A" or "B", got \'C\''),
        (lambda: CIFARResNet(width=0), "width and num_classes must be at least 1, got 0 and 10"),
        (lambda: MadryResNet(widths=(16, 32, 64)), r"widths must be four positive .* got \[16, 32, 64\]"),
        (lambda: MadryResNet(widths=(16, 32, 16, 64)), "that do not fall"),
        (lambda: MadryResNet(units=0), "units and num_classes must be at least 1, got 0 and 10"),
    ],
)
def test_refuses(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("class_path", "init_args"),
    [
        ("CIFARResNet", {"depth": 8, "shortcut": "B", "width": 4}),
        ("ResNet18", {}),
        ("PreActResNet18", {}),
        ("MadryResNet", {"widths": [4, 4, 8, 16], "units": 1}),
    ],
)
def test_a_config_can_name_them(class_path: str, init_args: dict[str, object]) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    normalize = {"class_path": "advscope.networks.Normalize", "init_args": {"mean": [0.0] * 3, "std": [2.0] * 3}}

    config = parser.parse_object(
        {
            "network": {
                "class_path": f"advscope.networks.{class_path}",
                "init_args": {**init_args, "num_classes": 5, "normalize": normalize},
            }
        }
    )
    network = parser.instantiate(config).network

    assert type(network).__name__ == class_path
    assert network.normalize.std.flatten().tolist() == [2.0] * 3
    assert network.eval()(torch.rand(1, 3, 16, 16)).shape == (1, 5)
