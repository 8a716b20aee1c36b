"""CAM, against a loop, Captum's Grad-CAM and the logits."""

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional

from advscope.explainers import CAM, GradCAM
from advscope.frozen import MicroBatched
from advscope.head import find_head
from advscope.networks import CIFARResNet, Library, PreActResNet18


class Pooled(nn.Module):
    """A small network that ends in global average pooling and one linear layer; the pooling is no module."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3)
        )
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, images):
        return self.head(self.drop(self.body(images).mean((2, 3))))


def batch(count=4, size=18, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64).to(dtype), torch.arange(count) % 5


def ours_and_captums(network, layer, images, classes):
    """Return our CAM, and the number of positions times Captum's Grad-CAM, upsampled by Captum."""
    network = network.double().eval()
    ablation = LayerGradCam(network, network.get_submodule(layer))
    maps = ablation.attribute(images.clone().requires_grad_(), target=classes, relu_attributions=False)
    positions = maps.shape[-2] * maps.shape[-1]
    theirs = functional.interpolate(positions * maps, size=images.shape[-2:], mode="bilinear", align_corners=False)[
        :, 0
    ]
    return CAM()(network, images, classes), theirs.detach()


def test_by_hand():
    # Two channels: the image and its negative's half, 1 x 2 positions; class 1 weighs them 2 and -4: 2 x + 2 x = 4 x.
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(1, 2, 1, bias=False)
            self.head = nn.Linear(2, 2)
            self.body.weight.data = torch.tensor([1.0, -0.5]).view(2, 1, 1, 1)
            self.head.weight.data = torch.tensor([[1.0, 1.0], [2.0, -4.0]])

        def forward(self, images):
            return self.head(self.body(images).mean((2, 3)))

    images = torch.tensor([[[[0.25, 1.0]]]])
    assert CAM()(Two(), images, torch.tensor([1])).tolist() == [[[1.0, 4.0]]]
    assert CAM()(Two(), images, torch.tensor([0])).tolist() == [[[0.125, 0.5]]]  # x - x / 2


@pytest.mark.parametrize(
    ("network", "layer", "size"),
    [
        (lambda: Pooled(), "body", 18),
        (lambda: CIFARResNet(depth=8, num_classes=10), None, 32),
        (lambda: PreActResNet18(num_classes=10), None, 32),
    ],
)
def test_is_captums_grad_cam_times_the_number_of_positions(network, layer, size):
    torch.manual_seed(0)
    network = network().double().eval()
    images, classes = batch(2, size)
    if layer is None:
        layer = find_head(network, images).layer
    ours, theirs = ours_and_captums(network, layer, images, classes)
    assert ours.shape == images.shape[:1] + images.shape[2:]
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
    assert theirs.abs().max() > 0
    assert ours.min() < 0  # raw: no ReLU


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet18"])
def test_works_on_the_libraries_resnets(name):
    network = Library(name).double().eval()
    images, classes = batch(1, 64)
    find = GradCAM("model.layer4" if "model.layer4" in dict(network.named_modules()) else "network.layer4")
    ours, theirs = CAM()(network, images, classes), 4 * find(network, images, classes)  # 64 / 32: 2 x 2 positions
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_works_on_a_head_that_is_a_convolution():
    network = Library("timm/resnetv2_50").double().eval()
    images, classes = batch(1, 64)
    network.network.head.fc.bias.data.normal_()
    maps = CAM()(network, images, classes)
    torch.testing.assert_close(maps, 4 * GradCAM()(network, images, classes), rtol=1e-8, atol=1e-12)
    assert maps.abs().max() > 0


def test_averages_to_the_logit_less_its_bias():
    network, (images, classes) = Pooled().double().eval(), batch(size=16)
    maps = network.body(images)
    coarse = torch.einsum("nk,nkhw->nhw", network.head.weight[classes], maps)
    expected = functional.interpolate(coarse[:, None], size=(16, 16), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(CAM()(network, images, classes), expected, rtol=1e-10)
    logits = network(images).gather(1, classes[:, None])[:, 0]
    assert torch.allclose(coarse.mean((1, 2)), logits - network.head.bias[classes])


def test_is_the_same_on_micro_batches_and_bit_identical_alone():
    network, (images, classes) = Pooled().eval(), batch(7, dtype=torch.float32)
    still = MicroBatched(network, 3)
    whole = CAM()(still, images, classes)
    assert torch.allclose(whole, CAM()(network, images, classes), rtol=1e-4, atol=1e-6)
    assert torch.equal(CAM()(still, images[5:6], classes[5:6])[0], whole[5])
    assert still.backwards == 0


def test_leaves_the_network_as_found_also_in_inference_mode():
    network, (images, classes) = Pooled().double().train(), batch()
    network.body.eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    expected = CAM()(network, images, classes)
    with torch.inference_mode():
        again = CAM()(network, images.clone(), classes.clone())
    assert torch.equal(again, expected)
    assert not expected.requires_grad
    assert [network.training, network.body.training, network.drop.training] == [True, False, True]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_is_differentiable_on_request():
    network, (images, classes) = Pooled().double().eval(), batch(2, 11)
    images.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: CAM()(network, x, classes[:2], create_graph=True), images)
    assert not CAM()(network, images, classes[:2]).requires_grad


def test_takes_an_empty_batch():
    images, classes = batch()
    assert CAM()(Pooled().double(), images[:0], classes[:0]).shape == (0, 18, 18)


def test_refuses_a_network_with_another_head():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 16 * 16, 5))
    images, classes = batch(dtype=torch.float32)
    with pytest.raises(ValueError, match=r"Sequential has no closed-form class activation map.*GradCAM"):
        CAM()(network, images, classes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(4, 3, 18)}, r"images must be float \(N, C, H, W\)"),
        ({"images": torch.zeros(4, 3, 18, 18, dtype=torch.uint8)}, "images must be float"),
        ({"classes": torch.zeros(3, dtype=torch.int64)}, r"classes must be int64 \(4,\), got torch.int64 \(3,\)"),
        ({"classes": torch.zeros(4)}, r"classes must be int64 \(4,\), got torch.float32"),
        ({"classes": torch.tensor([0, 1, 2, 5])}, r"classes must be in 0 ... 4, got 0 ... 5"),
        ({"classes": torch.tensor([0, 1, 2, -1])}, r"classes must be in 0 ... 4, got -1 ... 2"),
    ],
)
@pytest.mark.parametrize("explainer", [CAM(), GradCAM("body")])
def test_refuses_bad_arguments(explainer, change, message):
    images, classes = batch(dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        explainer(Pooled(), **({"images": images, "classes": classes} | change))


def test_tells_its_settings():
    assert repr(CAM()) == "CAM()"
    assert repr(GradCAM("layer4")) == "GradCAM(layer='layer4')"
