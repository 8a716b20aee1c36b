"""Integrated gradients: the input gradient along the straight line from a baseline to the image."""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from advscope.explainers.base import Explainer
from advscope.explainers.channels import Channels, check_channels, over_channels
from advscope.explainers.gradient_mean import weighted_gradients

Rule = Literal["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"]
"""How the integral becomes a sum, by Captum's names."""


class IntegratedGradients(Explainer):
    r"""The image less a baseline, times the mean gradient of the class logit on the line between them.

    .. math:: F = \sum_c (x_c - b) \int_0^1 \frac{\partial Z(b + \alpha (x - b))}{\partial x_c} \, d\alpha

    With ``channels="sum"`` a map's sum over its pixels is the logit of the image less that of the baseline
    (completeness), up to the error of the sum that stands for the integral.

    Args:
        steps: Points on the line.
        baseline: Value of every pixel of the baseline, in image units: 0 is black, the paper's choice.
        rule: Where the points lie, and what they weigh; ``gausslegendre`` is Captum's default. The paper's eq. (3) is
            ``riemann_right``.
        channels: How the colour channels become one value: ``sum`` keeps completeness, and is the paper's.
        chunk_size: Most points that go through the network at once: memory and speed only.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Sundararajan et al., *Axiomatic Attribution for Deep Networks*, ICML 2017, eq. (1), (3), proposition 1.
        https://arxiv.org/abs/1703.01365
    """

    def __init__(
        self,
        steps: int = 50,
        baseline: float = 0.0,
        rule: Rule = "gausslegendre",
        channels: Channels = "sum",
        chunk_size: int = 64,
    ) -> None:
        if rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, got {rule!r}")
        least = 2 if rule == "riemann_trapezoid" else 1
        if steps < least or chunk_size < 1:
            raise ValueError(f"steps must be at least {least} and chunk_size at least 1, got {steps} and {chunk_size}")
        if not np.isfinite(baseline):
            raise ValueError(f"baseline must be finite, got {baseline}")
        check_channels(channels)
        self.steps = steps
        self.baseline = baseline
        self.rule: Rule = rule
        self.channels: Channels = channels
        self.chunk_size = chunk_size

    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps, ``(N, M, H, W)``."""
        places, weights = points_and_weights(self.rule, self.steps)
        distances = images - self.baseline

        def on_the_line(some: Tensor, first: int, count: int) -> Tensor:
            shares = torch.tensor(places[first : first + count], dtype=some.dtype, device=some.device)
            return self.baseline + shares.view(-1, 1, 1, 1, 1) * (some - self.baseline)

        total = weighted_gradients(network, images, classes, on_the_line, weights, self.chunk_size, create_graph)
        return over_channels(distances[:, None] * total, self.channels)


def points_and_weights(rule: Rule, steps: int) -> tuple[list[float], list[float]]:
    """Return the places in [0, 1] at which a rule takes an integrand, and what each weighs; the weights sum to 1.

    The trapezoid rule has its ``steps`` points on ``steps - 1`` intervals, with weights that sum to 1; Captum's sum to
    ``(steps - 1) / steps`` of that, so that its attributions fall short of completeness by that factor.

    Example:
        >>> points_and_weights("riemann_middle", 2)
        ([0.25, 0.75], [0.5, 0.5])
    """
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (0.5 * (1 + nodes)).tolist(), (0.5 * weights).tolist()
    if rule == "riemann_trapezoid":
        inner = [1 / (steps - 1)] * steps
        inner[0] = inner[-1] = 0.5 / (steps - 1)
        return [step / (steps - 1) for step in range(steps)], inner
    shift = {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}[rule]
    return [(step + shift) / steps for step in range(steps)], [1 / steps] * steps
