"""Which forward is taken, what is said about it, and what is counted."""

import warnings

import pytest
import torch
from torch import nn

from advscope.frozen import MicroBatched
from advscope.measures import PromotionSuppression, SignificantCells, grid_cells, promotion_suppression
from advscope.measures.cell_logits import partial_forward
from advscope.networks import CIFARResNet, MadryResNet

GIVEN = ("network", "images", "adversarials", "labels", "targets")


def given(count=3, size=32, dtype=torch.float32):
    images, adversarials = torch.rand(2, count, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return images, adversarials, torch.zeros(count, dtype=torch.int64), torch.ones(count, dtype=torch.int64)


def network():
    torch.manual_seed(0)
    return CIFARResNet(8).eval()


class Centred(nn.BatchNorm2d):
    """A BatchNorm that is none: it looks at all positions."""

    def forward(self, features):
        return features - features.mean((2, 3), keepdim=True)


class Careful(nn.Module):
    """Looks at its images before it takes them."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        if images.min() < 0:
            raise ValueError("images must not be negative")
        return self.inner(images)


def mixing():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), Centred(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3, bias=False),
    ).eval()  # fmt: skip


def vision_transformer():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 8, 8), nn.Flatten(2), nn.Linear(16, 4999), nn.Flatten(), nn.LazyLinear(4)
    ).eval()
    network(torch.zeros(1, 3, 32, 32))
    return network


def group_norms():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 32, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 4),
    ).eval()  # fmt: skip


def test_partial_where_it_saves_and_full_counts_one():
    effects = {forward: promotion_suppression(network(), *given(), cell_size=4, forward=forward)
               for forward in ("auto", "partial", "full")}  # fmt: skip
    assert torch.equal(effects["auto"].score, effects["partial"].score)
    assert torch.allclose(effects["auto"].score, effects["full"].score, rtol=0, atol=1e-5)
    assert (effects["partial"].operations < 0.8).all()
    assert (effects["full"].operations == 1).all()
    assert effects["full"].passes.tolist() == effects["partial"].passes.tolist() == [64] * 3


def test_passes_and_shares_count_the_perturbed_cells_alone():
    images, adversarials, labels, targets = given()
    adversarials[0] = images[0]
    adversarials[1, :, 4:] = images[1, :, 4:]
    targets[2] = labels[2]
    for forward in ("partial", "full"):
        still = MicroBatched(network(), 16)
        effects = promotion_suppression(still, images, adversarials, labels, targets, cell_size=4, forward=forward)
        assert effects.passes.tolist() == [0, 8, 0]
        assert effects.operations.isnan().tolist() == [True, False, True]
        assert still.forwards == 3 + 8
        columns = PromotionSuppression.columns(effects)
        assert columns["passes"].tolist() == [0, 8, 0]
        assert columns["operations_share"].isnan().tolist() == [True, False, True]
        assert (columns["operations_share"][1] == 1) == (forward == "full")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: Careful(network()), "torch.fx cannot trace Careful"),
        (mixing, "the partial forward's logits differ from it by .*, more than 0.0001 of their range"),
    ],
    ids=["branches", "a BatchNorm that is none"],
)
def test_falls_back_and_says_so(build, reason):
    full = promotion_suppression(build(), *given(), cell_size=4, forward="full")
    with pytest.warns(UserWarning, match=f"PSR takes the full forward: {reason}"):
        effects = promotion_suppression(build(), *given(), cell_size=4)
    assert torch.equal(effects.score, full.score)
    assert (effects.operations == 1).all()
    with pytest.raises(ValueError, match=f'forward="partial" does not apply: {reason}'):
        promotion_suppression(build(), *given(), cell_size=4, forward="partial")


def test_a_failed_comparison_counts_no_pass_twice():
    still = MicroBatched(mixing(), 16)
    with pytest.warns(UserWarning, match="PSR takes the full forward"):
        promotion_suppression(still, *given(), cell_size=4)
    assert still.forwards == 3 + 3 * 64


@pytest.mark.parametrize(
    ("build", "share"),
    [
        (vision_transformer, r"\d+%"),
        (group_norms, r"\d+%"),
        (lambda: MadryResNet(4, widths=(4, 4, 4, 4), units=1), "100%"),
    ],
    ids=["tokens", "group norms", "standardised images"],
)
def test_is_silent_where_it_merely_saves_nothing(build, share):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        effects = promotion_suppression(build(), *given(), cell_size=4)
        _, line = partial_forward(build().eval(), given()[0][:1], grid_cells(32, 32, 4), "auto")
    assert (effects.operations == 1).all()
    assert line.startswith("full forward: a cell changes too much of the maps")
    with pytest.raises(ValueError, match=f"{share} of the operations would be spent"):
        promotion_suppression(build(), *given(), cell_size=4, forward="partial")


def test_a_network_without_layers_is_run_in_full():
    images, adversarials, labels, targets = given()
    with pytest.raises(ValueError, match="the network has no convolution or linear layer"):
        promotion_suppression(nn.Flatten(), images, adversarials, labels, targets, cell_size=4, forward="partial")
    assert (
        promotion_suppression(nn.Flatten(), images, adversarials, labels, targets, cell_size=4).operations == 1
    ).all()


def test_half_precision_is_run_in_full():
    half = network().bfloat16()
    with pytest.warns(UserWarning, match="images are torch.bfloat16, whose rounding exceeds"):
        effects = promotion_suppression(half, *given(dtype=torch.bfloat16), cell_size=4)
    assert (effects.operations == 1).all()


@pytest.mark.parametrize("call", [
    lambda: promotion_suppression(network(), *given(), cell_size=4, forward="fast"),
    lambda: SignificantCells(4, forward="fast"),
])  # fmt: skip
def test_another_name_is_refused(call):
    with pytest.raises(ValueError, match='forward must be "auto", "partial" or "full", got \'fast\''):
        call()


def test_cells_by_default_follow_the_images_size():
    small = promotion_suppression(network(), *given(1), cell_size=None)
    assert small.cells[0].tolist() == [0, 0, 4, 4]
    large = promotion_suppression(network(), *given(1, 70), cell_size=None)
    assert large.cells[0].tolist() == [0, 0, 13, 13]
    assert SignificantCells()(network(), *given(1)).shape == (1, 1, 32, 32)
    with pytest.raises(ValueError, match="stride must be at most 4 with cell_size None, got 6"):
        SignificantCells(stride=6)
