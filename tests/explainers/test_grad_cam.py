"""Grad-CAM, against Captum and hand calculations."""

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional

from advscope.explainers import GradCAM
from advscope.frozen import MicroBatched


class Flattened(nn.Module):
    """A network whose head is no global average pooling, with a block that runs twice and one without effect."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.twice = nn.Conv2d(6, 6, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Conv2d(6, 1, 1)
        self.head = nn.Linear(6 * 8 * 8, 5)

    def forward(self, images):
        maps = self.first(images).tanh()
        maps = self.twice(self.twice(maps).relu())
        self.unused(maps)
        return self.head(self.drop(maps.sin().flatten(1)))


def batch(count=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, 18, 18, generator=generator, dtype=torch.float64).to(dtype), torch.arange(count) % 5


def test_by_hand():
    # Z_1 = 3 a + 5 b over the two positions of one channel: mean gradient 4, so the map is 4 (a, b).
    network = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(2, 2, bias=False))
    network[2].weight.data = torch.tensor([[1.0, -1.0], [3.0, 5.0]])
    images = torch.tensor([[[[0.5, 1.0]]], [[[0.5, 1.0]]]])
    maps = GradCAM("0")(network, images, torch.tensor([1, 0]))
    assert maps.tolist() == [[[2.0, 4.0]], [[0.0, 0.0]]]


def test_equals_captum():
    network, (images, classes) = Flattened().double().eval(), batch()
    ours = GradCAM("first")(network, images, classes)
    captum = LayerGradCam(network, network.first)
    theirs = captum.attribute(images.clone().requires_grad_(), target=classes, relu_attributions=False)
    theirs = functional.interpolate(theirs, size=(18, 18), mode="bilinear", align_corners=False)[:, 0].detach()
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert ours.min() < 0 < ours.max()


def test_is_the_same_on_micro_batches_and_bit_identical_alone():
    network, (images, classes) = Flattened().eval(), batch(7, torch.float32)
    still = MicroBatched(network, 3)
    whole = GradCAM("first")(still, images, classes)
    assert torch.allclose(whole, GradCAM("first")(network, images, classes), rtol=1e-4, atol=1e-6)
    assert torch.equal(GradCAM("first")(still, images[5:6], classes[5:6])[0], whole[5])


def test_leaves_the_network_as_found_also_in_inference_mode():
    network, (images, classes) = Flattened().double().train(), batch()
    network.first.eval()
    network.head.bias.requires_grad_(False)
    expected = GradCAM("first")(network, images, classes)
    random_state = torch.get_rng_state()
    with torch.inference_mode():
        again = GradCAM("first")(network, images.clone(), classes.clone())
    assert torch.equal(again, expected)
    assert not expected.requires_grad
    assert not images.requires_grad
    assert images.grad is None
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [network.training, network.first.training, network.drop.training] == [True, False, True]
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["head.bias"]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_is_differentiable_on_request():
    network, (images, classes) = Flattened().double().eval(), batch(2)
    images.requires_grad_()
    maps = GradCAM("first")(network, images, classes, create_graph=True)
    (gradient,) = torch.autograd.grad(maps.square().sum(), images)
    step = torch.zeros_like(images)
    step[0, 1, 5, 6] = 1e-6
    with torch.no_grad():
        ahead, behind = (GradCAM("first")(network, images + sign * step, classes).square().sum() for sign in (1, -1))
    assert gradient[0, 1, 5, 6].item() == pytest.approx(((ahead - behind) / 2e-6).item(), rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("frist", "Flattened has no layer 'frist'; the nearest names are first"),
        ("twice", "layer 'twice' ran 2 times in one pass; name one that runs once"),
        ("head", r"layer 'head' must return \(N, K, h, w\) feature maps"),
        ("unused", "the logits do not depend on layer 'unused'"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda network: network, lambda network: MicroBatched(network, 2)])
def test_refuses_layers_that_do_not_suit(wrap, layer, message):
    network, (images, classes) = Flattened().double(), batch()
    with pytest.raises(ValueError, match=message):
        GradCAM(layer)(wrap(network), images, classes)
    assert not any(module._forward_hooks for module in network.modules())
