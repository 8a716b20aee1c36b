"""A network made to look at colours, attacked at known places: PSR and IS point at them."""

import pytest
import torch
from torch import nn

from advscope.explainers import CAM
from advscope.measures import (
    InterpretabilityScore,
    PromotionSuppression,
    activation_bias,
    promotion_suppression,
    salient_mask,
)


class Colours(nn.Module):
    """Class 0 is the mean of green, class 1 that of red, class 2 nothing: blue means nothing at all."""

    def __init__(self):
        super().__init__()
        self.eyes = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Linear(3, 3, bias=False)
        self.eyes.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.head.weight.data = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])

    def forward(self, images):
        return self.head(self.eyes(images).mean((2, 3)))


def scene():
    """Noise with a green square at the lower right; an attack can add red at the upper left and take the green away."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 32, 32, generator=generator) * 0.05
    images[:, 1, 20:28, 20:28] += 0.8
    promoted, suppressed, useless = images.clone(), images.clone(), images.clone()
    promoted[:, 0, 4:12, 4:12] += 0.8
    suppressed[:, 1, 20:28, 20:28] -= 0.7
    useless[:, 2, 4:12, 4:12] += 0.8
    return images, promoted, suppressed, useless, torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)


def cells_of(effects, chosen):
    return {tuple(cell) for cell in effects.cells[chosen].tolist()}


@pytest.mark.parametrize(("kind", "corner"), [("promotion", 4), ("suppression", 20)])
def test_psr_names_the_cells_and_what_they_do(kind, corner):
    images, promoted, suppressed, _, labels, targets = scene()
    adversarials = promoted if kind == "promotion" else suppressed
    effects = promotion_suppression(Colours(), images, adversarials, labels, targets, cell_size=4)
    active = effects.score > 2 * effects.floor[:, None] * (1 + 1e-6)
    planted = {(top, left, top + 4, left + 4) for top in (corner, corner + 4) for left in (corner, corner + 4)}
    for row in range(3):
        assert cells_of(effects, active[row]) == planted
    columns = PromotionSuppression.columns(effects)
    assert columns[f"{kind}_share_by_count"].tolist() == [1.0] * 3
    assert columns["inactive_share"].tolist() == [60 / 64] * 3


def test_a_perturbation_that_the_network_cannot_see_is_inactive():
    images, _, _, useless, labels, targets = scene()
    columns = PromotionSuppression.columns(
        promotion_suppression(Colours(), images, useless, labels, targets, cell_size=4)
    )
    assert columns["inactive_share"].tolist() == [1.0] * 3
    assert columns["promotion_share"].isnan().all()
    bias = activation_bias(Colours(), images, useless)
    assert (bias["eyes"].raw > 1).all()  # it is seen by the eyes,
    assert (bias["head"].raw == 0).all()  # not by the head


def test_is_finds_the_perturbation_in_the_map_of_the_class_it_serves():
    images, promoted, suppressed, _, labels, targets = scene()
    network = Colours()
    for adversarials, name in ((promoted, "adversarial"), (suppressed, "clean")):
        maps = CAM()(network, images, labels), CAM()(network, adversarials, targets)
        metric, given = InterpretabilityScore(), {"": adversarials - images}
        columns = metric.columns("clean", salient_mask(maps[0]), given)
        columns |= metric.columns("adversarial", salient_mask(maps[1]), given)
        other = {"adversarial": "clean", "clean": "adversarial"}[name]
        # All of the perturbation lies where the map is highest; in the other map, of noise there, about a chance share.
        assert columns[f"score_{name}"].tolist() == pytest.approx([1.0] * 3)
        assert columns[f"excess_{name}"].tolist() == pytest.approx([1.0] * 3)
        assert (columns[f"excess_{other}"].abs() < 0.35).all()
        assert torch.allclose(columns[f"mask_share_{name}"], torch.tensor(307 / 1024, dtype=torch.float64))
