"""What every explainer promises: shapes, many classes at once, batches, leaks, derivatives, errors."""

import pytest
import torch
from torch import nn

from advscope.explainers import CAM, GradCAM, GradCAMPlusPlus, InputGradient, IntegratedGradients, SmoothGrad
from advscope.frozen import MicroBatched

EXPLAINERS = {
    "cam": CAM(),
    "grad_cam": GradCAM(),
    "grad_cam_early": GradCAM("body.0"),
    "grad_cam_pp": GradCAMPlusPlus(),
    "input_gradient": InputGradient(),
    "smooth_grad": SmoothGrad(samples=5, chunk_size=7),
    "integrated_gradients": IntegratedGradients(steps=4, chunk_size=7),
}
FORWARDS = {"smooth_grad": 5, "integrated_gradients": 4}


@pytest.fixture(params=EXPLAINERS)
def name(request):
    return request.param


@pytest.fixture
def explainer(name):
    return EXPLAINERS[name]


@pytest.fixture
def network(name, flat, pooled):
    return pooled if name == "cam" else flat


def test_many_classes_are_those_one_by_one_from_one_forward(name, explainer, network, images):
    classes = torch.tensor([[0, 1, 2], [4, 4, 0], [3, 2, 1], [1, 0, 4], [2, 2, 2]])
    still = MicroBatched(network, 4)
    explainer(still, images, classes)  # the head or the layer is found once
    still.forwards = 0
    maps = explainer(still, images, classes)
    assert still.forwards == 5 * FORWARDS.get(name, 1)
    assert maps.shape == (5, 3, 16, 16)
    for place in range(3):
        alone = explainer(still, images, classes[:, place])
        torch.testing.assert_close(maps[:, place], alone, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(maps[0, 0], maps[0, 1])
    assert torch.equal(maps[4, 0], maps[4, 2])


def test_a_map_does_not_depend_on_batch_or_order(explainer, network, images, classes):
    still = MicroBatched(network.float(), 3)
    images = images.float()
    whole = explainer(still, images, classes)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(explainer(still, images[order], classes[order]), whole[order])
    for row in range(5):
        assert torch.equal(explainer(still, images[row : row + 1], classes[row : row + 1])[0], whole[row])
    plain = explainer(network, images, classes)
    assert (plain - whole).abs().max() <= 1e-5 * whole.abs().max()


def test_the_memory_format_of_the_images_does_not_matter(explainer, network, images, classes):
    network = network.float()
    images = images.float()
    expected = explainer(network, images, classes)
    assert torch.equal(explainer(network, images.contiguous(memory_format=torch.channels_last), classes), expected)
    assert not images.is_contiguous(memory_format=torch.channels_last)


def test_leaves_the_network_as_found_also_in_inference_mode(explainer, network, images, classes):
    network.train()
    network.body[0].eval()
    network.head.bias.requires_grad_(False)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    expected = explainer(network, images, classes)
    random_state = torch.get_rng_state()
    before = images.clone()
    with torch.inference_mode():
        again = explainer(network, images.clone(), classes.clone())
    assert torch.equal(again, expected)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not expected.requires_grad
    assert images.grad is None
    assert [network.training, network.body.training, network.body[0].training] == [True, True, False]
    assert [key for key, value in network.named_parameters() if not value.requires_grad] == ["head.bias"]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_is_differentiable_on_request(name, explainer, network, images, classes):
    # Smooth activations, so that finite differences can be had.
    network.body = nn.Sequential(*[nn.Tanh() if isinstance(part, nn.ReLU) else part for part in network.body])
    images = images[:2].clone().requires_grad_()
    classes = torch.stack([classes[:2], classes[1:3]], 1)
    maps = explainer(network, images, classes, create_graph=True)
    torch.testing.assert_close(maps, explainer(network, images, classes), rtol=1e-10, atol=1e-12)
    (gradient,) = torch.autograd.grad(maps.square().sum(), images)
    step = torch.zeros_like(images)
    step[1, 2, 5, 6] = 1e-5
    with torch.no_grad():
        ahead, behind = (explainer(network, images + sign * step, classes).square().sum() for sign in (1, -1))
    expected = ((ahead - behind) / 2e-5).item()
    assert abs(expected) > 1e-9
    assert gradient[1, 2, 5, 6].item() == pytest.approx(expected, rel=1e-4)
    assert not explainer(network, images, classes).requires_grad


def test_takes_no_images_and_no_classes(explainer, network, images, classes):
    assert explainer(network, images[:0], classes[:0]).shape == (0, 16, 16)
    assert explainer(network, images[:0], classes[:0, None].expand(0, 4)).shape == (0, 4, 16, 16)
    assert explainer(network, images, classes[:, None][:, :0]).shape == (5, 0, 16, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(5, 3, 16)}, r"images must be float \(N, C, H, W\)"),
        ({"images": torch.zeros(5, 3, 16, 16, dtype=torch.uint8)}, "images must be float"),
        ({"classes": torch.zeros(4, dtype=torch.int64)}, r"classes must be int64 \(5,\), got torch.int64 \(4,\)"),
        ({"classes": torch.zeros(5)}, r"classes must be int64 \(5,\), got torch.float32"),
        ({"classes": torch.zeros(5, 1, 1, dtype=torch.int64)}, r"got torch.int64 \(5, 1, 1\): .* or \(5, M\) for M"),
        ({"classes": torch.tensor([0, 1, 2, 5, 0])}, r"classes must be in 0 ... 4, got 0 ... 5"),
        ({"classes": torch.tensor([[0, 1]] * 4 + [[-1, 2]])}, r"classes must be in 0 ... 4, got -1 ... 2"),
    ],
)
def test_refuses_bad_arguments(explainer, network, images, classes, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        explainer(network, **({"images": images, "classes": classes} | change))
    assert "\n" not in str(caught.value)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_nan_stays_in_its_image(explainer, network, images, classes):
    expected = explainer(network, images, classes)
    images[1, 0, 3, 3] = torch.nan
    found = explainer(network, images, classes)
    others = [0, 2, 3, 4]
    torch.testing.assert_close(found[others], expected[others], rtol=1e-10, atol=1e-12)
    assert found[1].isnan().any()


def test_are_values(explainer, name):
    assert explainer == EXPLAINERS[name]
    assert sum(explainer == other for other in EXPLAINERS.values()) == 1
    assert explainer.settings()["class"] == type(explainer).__name__
    assert eval(repr(explainer)) == explainer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradCAMPlusPlus(eps=0), "eps must be positive, got 0"),
        (lambda: InputGradient("mean"), "channels must be one of sum, abs_sum, max_abs, got 'mean'"),
        (lambda: SmoothGrad(channels="mean"), "channels must be one of"),
        (lambda: SmoothGrad(samples=0), "samples and chunk_size must be at least 1, got 0 and 64"),
        (lambda: SmoothGrad(chunk_size=0), "samples and chunk_size must be at least 1, got 50 and 0"),
        (lambda: SmoothGrad(noise_level=-0.1), "noise_level must be at least 0 and finite, got -0.1"),
        (lambda: SmoothGrad(noise_level=float("nan")), "noise_level must be at least 0 and finite, got nan"),
        (lambda: IntegratedGradients(rule="simpson"), "rule must be one of gausslegendre, .*, got 'simpson'"),
        (lambda: IntegratedGradients(steps=0), "steps must be at least 1 and chunk_size at least 1, got 0 and 64"),
        (lambda: IntegratedGradients(1, rule="riemann_trapezoid"), "steps must be at least 2"),
        (lambda: IntegratedGradients(baseline=float("inf")), "baseline must be finite, got inf"),
        (lambda: IntegratedGradients(channels="x"), "channels must be one of"),
    ],
)
def test_refuses_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_network_cut_off_from_its_input_is_refused(images, classes):
    class Cut(nn.Module):
        def forward(self, given):
            return given.detach().flatten(1)[:, :5]

    for explainer in (InputGradient(), SmoothGrad(2), IntegratedGradients(2)):
        with pytest.raises(ValueError, match="the logits of Cut are cut off from the image: no gradient reaches it"):
            explainer(Cut(), images, classes)
