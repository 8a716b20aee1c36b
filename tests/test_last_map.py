"""Tests of finding the last feature map from a network's structure."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from advscope.frozen import MicroBatched
from advscope.last_map import FeatureMap, cut_at, find_last_map
from advscope.networks import CIFARResNet, Library, MadryResNet, PreActResNet18, ResNet18


def hooks(network):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules())


FOUND = {
    "resnet8": (lambda: CIFARResNet(8), FeatureMap("layer3"), 16),
    "resnet18": (ResNet18, FeatureMap("layer4"), 16),
    "preact18": (PreActResNet18, FeatureMap("relu"), 16),
    "madry": (lambda: MadryResNet(widths=(4, 4, 8, 16), units=1), FeatureMap("relu"), 16),
    "torchvision-resnet18": (torchvision.models.resnet18, FeatureMap("layer4"), 64),
    "torchvision-resnet101": (lambda: Library("torchvision/resnet101"), FeatureMap("network.layer4"), 64),
    "torchvision-mobilenet": (torchvision.models.mobilenet_v2, FeatureMap("features"), 64),
    "torchvision-inception": (
        lambda: Library("torchvision/inception_v3", settings={"init_weights": False}),
        FeatureMap("network.Mixed_7c"),
        128,
    ),
    # Its ReLU after the last map is a function, and works in place.
    "torchvision-densenet": (torchvision.models.densenet121, FeatureMap("features"), 64),
    "torchvision-vgg11": (lambda: torchvision.models.vgg11(init_weights=False), FeatureMap("avgpool"), 64),
    "timm-resnetv2": (lambda: timm.create_model("resnetv2_101"), FeatureMap("norm"), 64),
    "timm-inception": (lambda: timm.create_model("inception_v3"), FeatureMap("Mixed_7c"), 128),
}


@pytest.mark.parametrize("name", FOUND)
def test_finds_it_in_networks_of_every_kind(name):
    torch.manual_seed(0)
    make, expected, size = FOUND[name]
    network = make().train()
    images = torch.rand(2, 3, size, size)
    state = torch.get_rng_state()

    found = find_last_map(network, images)

    assert found == expected
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert hooks(network) == 0


def test_a_map_that_no_module_returns_is_the_input_of_the_pooling():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool, self.head = nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(6, 4)

        def forward(self, images):
            return self.head(self.pool(self.conv(images).relu()).flatten(1))

    network = Functional()
    assert find_last_map(MicroBatched(network, 2), torch.rand(3, 3, 8, 8)) == FeatureMap("pool", takes_input=True)


class Branches(nn.Module):
    """A stem, two branches and what becomes of them; no head that averages."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.stem, self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.joined = nn.Identity()
        self.unused = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4 * 36, 5)

    def forward(self, images):
        stem = self.stem(images)
        if self.way == "joined":
            maps = self.joined(self.left(stem) + self.right(stem))
        elif self.way == "residual":
            maps = stem + self.left(stem)
        elif self.way == "cut":
            maps = stem.detach()
        else:
            maps = self.right(self.left(stem)).relu_()
        self.unused(stem)
        return self.head(maps.flatten(1))


def test_branches_are_explained_where_they_join():
    assert find_last_map(Branches("joined"), torch.rand(1, 3, 8, 8)) == FeatureMap("joined")
    # The unused convolution runs last, and the logits do not depend on it.
    assert find_last_map(Branches("chain"), torch.rand(1, 3, 8, 8)) == FeatureMap("right")


def test_a_map_that_a_shortcut_passes_by_is_refused_with_the_choices():
    network = Branches("residual")
    with pytest.raises(
        ValueError,
        match=r"Branches has no single last feature map: part of what reaches the logits passes 'left' by; give "
        r"layer=, for example one of unused, left, stem",
    ) as caught:
        find_last_map(network, torch.rand(1, 3, 8, 8))
    assert "\n" not in str(caught.value)
    assert hooks(network) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Branches("cut"), r"Branches has no last feature map: no module .* give layer=, one of unused, stem"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5)),
            "Sequential has no last feature map: .* give layer= of a network with convolutions",
        ),
        # Maps of (N, h, w, K), and of another shape than the image's.
        (lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=64), "has no (single )?last feature map"),
    ],
)
def test_refuses_networks_without_one(make, message):
    torch.manual_seed(0)
    network = make()
    side = 64 if type(network).__name__ == "SwinTransformer" else 8
    with pytest.raises(ValueError, match=message):
        find_last_map(network, torch.rand(1, 3, side, side))
    with pytest.raises(ValueError, match="needs an image"):
        find_last_map(network, torch.zeros(0, 3, side, side))


def test_is_remembered_until_a_module_is_replaced():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    images = torch.rand(2, 3, 8, 8)
    times = []
    network.register_forward_hook(lambda *_: times.append(1))
    assert find_last_map(network, images) == FeatureMap("1")
    looked = len(times)
    assert looked > 1
    assert find_last_map(network, images) == FeatureMap("1")
    assert len(times) == looked
    network[1] = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Flatten())
    assert find_last_map(network, images) == FeatureMap("1.1")


def test_what_is_cut_is_the_map_as_returned_and_starts_the_graph():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    images = torch.rand(2, 3, 8, 8).requires_grad_()
    with cut_at(network, FeatureMap("0"), leaves=True) as parts:
        logits = network(images)
    assert torch.equal(parts[0], network[0](images))
    assert parts[0].min() < 0  # the ReLU after it works in place, on a copy
    gradients = torch.autograd.grad(logits.sum(), (parts[0], images), allow_unused=True)
    assert gradients[1] is None
    expected = (network[3].weight.sum(0).view(1, 4, 6, 6) * (parts[0] > 0)).detach()
    torch.testing.assert_close(gradients[0], expected)
    assert hooks(network) == 0
