"""The plain input gradient, against Captum's saliency."""

import pytest
import torch
from captum.attr import Saliency

from advscope.explainers import InputGradient


@pytest.mark.parametrize(
    ("channels", "reduce"),
    [
        ("sum", lambda gradient: gradient.sum(1)),
        ("abs_sum", lambda gradient: gradient.abs().sum(1)),
        ("max_abs", lambda gradient: gradient.abs().amax(1)),
    ],
)
def test_equals_captum(flat, images, classes, channels, reduce):
    theirs = reduce(Saliency(flat).attribute(images.clone().requires_grad_(), target=classes, abs=False)).detach()
    found = InputGradient(channels)(flat, images, classes)
    assert theirs.abs().max() > 0
    torch.testing.assert_close(found, theirs, rtol=1e-10, atol=1e-12)


def test_the_default_is_the_papers():
    assert InputGradient() == InputGradient("max_abs")
    assert torch.equal(
        InputGradient()(torch.nn.Flatten(), torch.rand(1, 2, 1, 1), torch.tensor([1])), torch.ones(1, 1, 1)
    )
