"""Grad-CAM++ and Grad-CAM against pytorch-grad-cam, and by hand."""

import pytest
import torch
from pytorch_grad_cam import GradCAM as PeerGradCAM
from pytorch_grad_cam import GradCAMPlusPlus as PeerGradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.nn import functional

from advscope.explainers import CAM, GradCAM, GradCAMPlusPlus


def peer_map(kind, network, layer, images, classes):
    """Return the peer's map before its ReLU and scaling, upsampled as ours."""
    with kind(model=network, target_layers=[network.get_submodule(layer)]) as peer:
        targets = [ClassifierOutputTarget(int(wanted)) for wanted in classes]
        peer(images, targets)
        seen = peer.activations_and_grads
        found = peer.get_cam_image(
            images, peer.target_layers[0], targets, seen.activations[0].numpy(), seen.gradients[0].numpy()
        )
    maps = torch.as_tensor(found)[:, None]
    return functional.interpolate(maps, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


@pytest.mark.parametrize("scale", [1, 300])
@pytest.mark.parametrize("layer", ["body.0", "body.1", "body.3"])
@pytest.mark.parametrize(("ours", "peer"), [(GradCAM, PeerGradCAM), (GradCAMPlusPlus, PeerGradCAMPlusPlus)])
def test_equals_pytorch_grad_cam(flat, images, classes, ours, peer, layer, scale):
    # The peer shows a map as in-place operations leave it: none may follow here. With small gradients the small number
    # in the denominator of Grad-CAM++ counts, with large ones the powers do.
    flat.body[2], flat.body[4] = nn.ReLU(), nn.Softplus()
    flat.head.weight.data *= scale
    expected = peer_map(peer, flat, layer, images, classes)
    found = ours(layer)(flat, images, classes)
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert found.min() < 0 < found.max()


def test_cam_equals_pytorch_grad_cam_times_positions(pooled, images, classes):
    expected = 25 * peer_map(PeerGradCAM, pooled, "body.2", images, classes)
    assert (CAM()(pooled, images, classes) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (25 * GradCAM()(pooled, images, classes) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_by_hand():
    # One channel (a, b) = (0.5, 1), Z = 3 a - 2 b: g = (3, -2), sum of A = 1.5. alpha_a = 9 / (18 + 1.5 * 27 + eps),
    # relu leaves the first position: the weight is 3 * 9 / 58.5.
    network = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(2, 1, bias=False)).double()
    network[2].weight.data = torch.tensor([[3.0, -2.0]], dtype=torch.float64)
    images = torch.tensor([[[[0.5, 1.0]]]], dtype=torch.float64)
    found = GradCAMPlusPlus("0", eps=1e-12)(network, images, torch.tensor([0]))
    assert found.flatten().tolist() == pytest.approx([0.5 * 27 / 58.5, 27 / 58.5])


def test_a_layer_without_gradient_weighs_nothing(flat, images, classes):
    flat.head.weight.data[2] = 0
    found = GradCAMPlusPlus("body.0")(flat, images, classes)
    assert torch.equal(found[classes == 2], torch.zeros(2, 16, 16, dtype=torch.float64))
    assert (found[classes != 2].flatten(1) != 0).any(1).all()


def test_the_layer_is_found_and_explained_before_in_place_operations(flat, images, classes):
    found = GradCAM()(flat, images, classes)
    assert torch.equal(found, GradCAM("body")(flat, images, classes))
    maps = flat.body(images).detach()  # the network doubles them in place afterwards
    weights = 2 * flat.head.weight[classes].detach().view(5, 8, 25).mean(2)
    expected = torch.einsum("nk,nkhw->nhw", weights, maps)
    expected = functional.interpolate(expected[:, None], size=(16, 16), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(found, expected)
    differentiable = GradCAM()(flat, images.clone().requires_grad_(), classes, create_graph=True)
    torch.testing.assert_close(differentiable.detach(), expected)


def test_nothing_before_the_layer_is_recorded(flat, images, classes):
    seen = []
    flat.body[0].register_forward_hook(lambda _, given, output: seen.append(output.requires_grad))
    GradCAM("body.3")(flat, images.requires_grad_(), classes)
    assert seen == [False]
    GradCAM("body.3")(flat, images, classes, create_graph=True)
    assert seen == [False, True]
