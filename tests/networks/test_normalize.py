"""Tests of the first layers."""

import math

import pytest
import torch

from advscope.networks import Normalize, PerImageStandardize


def test_normalize_by_hand() -> None:
    # Red is 0.4 over its mean, two deviations of 0.2; green 0.3 below, one deviation of 0.3; blue is at its mean.
    images = torch.tensor([0.9, 0.1, 0.0]).view(1, 3, 1, 1)

    normalised = Normalize(mean=[0.5, 0.4, 0.0], std=[0.2, 0.3, 1.0])(images)

    torch.testing.assert_close(normalised.flatten(), torch.tensor([2.0, -1.0, 0.0]))


def test_normalize_has_no_weights_that_a_checkpoint_would_hold() -> None:
    assert Normalize().state_dict() == {}


def test_normalize_moves_with_the_network() -> None:
    assert Normalize().double()(torch.rand(1, 3, 2, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.5], [0.2, 0.2], "one number per channel each, got 1 and 2"),
        ([], [], "got 0 and 0"),
        ([0.5], [0.0], "std must be positive"),
        ([0.5], [float("nan")], "std must be positive"),
    ],
)
def test_normalize_refuses(mean: list[float], std: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalize(mean, std)


def test_standardize_by_hand() -> None:
    # Values 0, 0, 0.4, 0.4: mean 0.2, standard deviation 0.2, over the floor 1 / (255 sqrt(4)) = 0.002.
    images = torch.tensor([0.0, 0.0, 0.4, 0.4]).view(1, 1, 2, 2)

    torch.testing.assert_close(PerImageStandardize()(images).flatten(), torch.tensor([-1.0, -1.0, 1.0, 1.0]))


def test_standardize_takes_all_channels_of_each_image_by_itself() -> None:
    images = torch.rand(3, 3, 5, 4, dtype=torch.float64)
    images[1] *= 0.1

    standardised = PerImageStandardize()(images)

    for image, result in zip(images, standardised, strict=True):
        values = [float(value) * 255 for value in image.flatten()]
        mean = sum(values) / 60
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 60)
        expected = torch.tensor([(value - mean) / max(deviation, 1 / math.sqrt(60)) for value in values])
        torch.testing.assert_close(result.flatten(), expected.double(), rtol=1e-6, atol=1e-6)


def test_standardize_divides_a_faint_image_by_the_floor() -> None:
    # +-0.001 around 0.5 has standard deviation 0.001; four values have the floor 1/2 in units where 1.0 stands for 1.
    images = (0.5 + 0.001 * torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)).view(1, 1, 2, 2)

    floored = PerImageStandardize(scale=1)(images).flatten()

    expected = torch.tensor([0.002, -0.002, 0.002, -0.002], dtype=torch.float64)
    torch.testing.assert_close(floored, expected)
    # In pixel values it is 0.255, still below 1/2: (0.255) / (1/2) = 0.51.
    torch.testing.assert_close(PerImageStandardize()(images).flatten(), 255 * expected)


def test_standardize_makes_a_constant_image_zero_with_a_finite_gradient() -> None:
    images = torch.full((1, 3, 4, 4), 0.25, dtype=torch.float64, requires_grad=True)

    standardised = PerImageStandardize()(images)
    (gradient,) = torch.autograd.grad(standardised[0, 0, 0, 0], images)

    assert (standardised == 0).all()
    # Below the floor only the mean passes a gradient on: 255 sqrt(48) (1 - 1/48) at the pixel itself.
    assert float(gradient[0, 0, 0, 0]) == pytest.approx(255 * math.sqrt(48) * 47 / 48)


def test_gradients_pass_through_mean_and_deviation() -> None:
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(PerImageStandardize(), (images,))
    # A brighter image with more contrast is the same image: no gradient along these directions.
    (gradient,) = torch.autograd.grad(PerImageStandardize()(images)[:, 0, 0, 0].sum(), images)
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-9)
    assert float((gradient * images.detach()).sum()) == pytest.approx(0, abs=1e-9)


def test_standardize_refuses_a_scale_of_zero() -> None:
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        PerImageStandardize(scale=0)
