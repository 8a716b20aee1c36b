"""Integrated gradients, against Captum, closed forms and completeness."""

import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import nn

from advscope.explainers import IntegratedGradients
from advscope.explainers.integrated_gradients import points_and_weights
from advscope.frozen import MicroBatched

RULES = ("gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid")


@pytest.mark.parametrize("baseline", [0.0, 0.5])
@pytest.mark.parametrize("rule", RULES)
def test_equals_captum(flat, images, classes, rule, baseline):
    captum = CaptumIntegratedGradients(flat)
    theirs = captum.attribute(images, baselines=baseline, target=classes, n_steps=9, method=rule).sum(1).detach()
    # Captum's trapezoid weights sum to 8 / 9.
    theirs = theirs * 9 / 8 if rule == "riemann_trapezoid" else theirs
    found = IntegratedGradients(9, baseline, rule)(flat, images, classes)
    assert (found - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize(
    ("channels", "reduce"), [("abs_sum", lambda a: a.abs().sum(1)), ("max_abs", lambda a: a.abs().amax(1))]
)
def test_reduces_channels_last(flat, images, classes, channels, reduce):
    theirs = CaptumIntegratedGradients(flat).attribute(images, target=classes, n_steps=5).detach()
    found = IntegratedGradients(5, channels=channels)(flat, images, classes)
    assert (found - reduce(theirs)).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("rule", RULES)
def test_the_weights_sum_to_one_and_a_line_is_exact(rule):
    for steps in (2, 3, 50):
        places, weights = points_and_weights(rule, steps)
        assert len(places) == len(weights) == steps
        assert sum(weights) == pytest.approx(1, abs=1e-12)
        assert 0 <= min(places) <= max(places) <= 1
        error = {"riemann_left": -0.5 / steps, "riemann_right": 0.5 / steps}.get(rule, 0)
        assert sum(w * p for w, p in zip(weights, places, strict=True)) == pytest.approx(0.5 + error, abs=1e-12)


def test_gauss_legendre_is_exact_for_polynomials():
    places, weights = points_and_weights("gausslegendre", 4)
    for power in range(8):  # up to 2 n - 1
        assert sum(w * p**power for w, p in zip(weights, places, strict=True)) == pytest.approx(1 / (power + 1))


def test_completeness(flat, images, classes):
    # The activations are made smooth: then few steps do.
    flat.body[2] = nn.Softplus()
    found = IntegratedGradients(60, baseline=0.2)(flat, images, classes)
    with torch.no_grad():
        gained = flat(images) - flat(torch.full_like(images, 0.2))
    expected = gained.gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(found.sum((1, 2)), expected, rtol=1e-8, atol=1e-10)


def test_closed_form():
    # Z = sum of x^2: the integral of 2 (b + a (x - b)) is x + b, so the map is (x - b)(x + b) = x^2 - b^2.
    class Squares(nn.Module):
        def forward(self, given):
            return given.flatten(1).square().sum(1, keepdim=True)

    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = IntegratedGradients(1, baseline=0.5)(Squares(), images, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(found, images[:, 0].square() - 0.25)


def test_an_image_that_is_the_baseline_has_a_map_of_zeros(flat, images, classes):
    images[0] = 0
    found = IntegratedGradients(3)(flat, images, classes)
    assert torch.equal(found[0], torch.zeros(16, 16, dtype=torch.float64))
    assert found[1].abs().max() > 0


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 5, 9, 1000])
def test_chunks_change_nothing(flat, images, classes, chunk_size):
    many = torch.stack([classes, classes.flip(0)], 1)
    expected = IntegratedGradients(5)(flat, images, many)
    found = IntegratedGradients(5, chunk_size=chunk_size)(flat, images, many)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    still = MicroBatched(flat.float(), 3)
    whole = IntegratedGradients(5)(still, images.float(), many)
    assert torch.equal(IntegratedGradients(5, chunk_size=chunk_size)(still, images.float(), many), whole)
