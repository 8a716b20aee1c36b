"""SmoothGrad, against Captum on the same noisy images, and its noise."""

import pytest
import torch
from captum.attr import Saliency
from torch import nn

from advscope.counter_hash import normal
from advscope.explainers import InputGradient, SmoothGrad
from advscope.frozen import MicroBatched


@pytest.mark.parametrize("channels", ["sum", "abs_sum", "max_abs"])
def test_equals_captums_saliency_on_the_same_noisy_images(flat, images, classes, channels):
    explainer = SmoothGrad(samples=6, noise_level=0.2, channels=channels, seed=4)
    saliency = Saliency(flat)
    total = 0
    for sample in range(6):
        spread = images.amax((1, 2, 3)) - images.amin((1, 2, 3))
        noise = normal(4, sample, torch.arange(3 * 16 * 16)).double().view(1, 3, 16, 16)
        noisy = (images + 0.2 * spread.view(-1, 1, 1, 1) * noise).requires_grad_()
        total = total + saliency.attribute(noisy, target=classes, abs=False).detach() / 6
    expected = {"sum": total.sum(1), "abs_sum": total.abs().sum(1), "max_abs": total.abs().amax(1)}[channels]
    found = explainer(flat, images, classes)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    other = SmoothGrad(samples=6, noise_level=0.2, channels=channels, seed=5)(flat, images, classes)
    assert (other - expected).abs().max() > 1e-3 * expected.abs().max()


def test_the_noise_is_normal_and_the_same_for_every_image(images):
    explainer = SmoothGrad(seed=1)
    noise = explainer.noise(3, 40, images)
    assert noise.shape == (40, 1, 3, 16, 16)
    assert noise.dtype == images.dtype
    assert noise.mean().abs() < 4 / noise.numel() ** 0.5
    assert (noise.square().mean() - 1).abs() < 4 * (2 / noise.numel()) ** 0.5
    assert torch.equal(explainer.noise(5, 1, images[:1])[0], noise[2])
    assert noise.flatten(1).unique(dim=0).shape[0] == 40


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 5, 9, 1000])
def test_chunks_change_nothing(flat, images, classes, chunk_size):
    many = torch.stack([classes, classes.flip(0)], 1)
    expected = SmoothGrad(samples=5)(flat, images, many)
    found = SmoothGrad(samples=5, chunk_size=chunk_size)(flat, images, many)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    still = MicroBatched(flat.float(), 3)
    whole = SmoothGrad(samples=5)(still, images.float(), many)
    assert torch.equal(SmoothGrad(samples=5, chunk_size=chunk_size)(still, images.float(), many), whole)


@pytest.mark.parametrize("chunk_size", [1, 4, 12])
def test_chunks_bound_what_goes_through_the_network_at_once(flat, images, classes, chunk_size):
    sizes = []
    flat.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    SmoothGrad(samples=7, chunk_size=chunk_size)(flat, images, classes)
    assert max(sizes) <= chunk_size
    assert sum(sizes) == 5 * 7


def test_without_noise_and_on_a_constant_image_it_is_the_plain_gradient(flat, images, classes):
    plain = InputGradient("abs_sum")(flat, images, classes)
    torch.testing.assert_close(SmoothGrad(3, noise_level=0)(flat, images, classes), plain)
    images[:] = 0.25
    constant = InputGradient("abs_sum")(flat, images, classes)
    torch.testing.assert_close(SmoothGrad(3)(flat, images, classes), constant)


def test_smooths_a_network_by_what_theory_says():
    # Z = sum of x^3: the gradient is 3 x^2, its mean over noise of deviation s is 3 (x^2 + s^2).
    class Cubes(nn.Module):
        def forward(self, given):
            return given.flatten(1).pow(3).sum(1, keepdim=True)

    images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    deviation = 0.3 * (images.max() - images.min())
    found = SmoothGrad(4000, 0.3, chunk_size=4000)(Cubes(), images, torch.tensor([0]))
    expected = 3 * (images[0, 0].square() + deviation**2)
    assert (found[0] - expected).abs().max() < 4.5 * 3 * 2 * deviation / 4000**0.5
    assert (found[0] - expected).mean().abs() < 4 * 3 * 2 * deviation / (4000 * 64) ** 0.5


def test_other_noise_can_be_given(flat, images, classes):
    class Silent(SmoothGrad):
        def noise(self, first, count, given):
            return torch.zeros(count, 1, *given.shape[1:], dtype=given.dtype)

    plain = InputGradient("abs_sum")(flat, images, classes)
    torch.testing.assert_close(Silent(3)(flat, images, classes), plain)
