"""PSR, against hand calculations, a loop over the cells, Captum and planted truth."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from captum.attr import FeatureAblation
from torch import nn

from advscope.frozen import MicroBatched
from advscope.measures import PromotionSuppression, grid_cells, promotion_suppression
from advscope.measures.promotion_suppression import CellEffects


class Counting(nn.Module):
    """Counts the images that go through a network, and the calls."""

    def __init__(self, network):
        super().__init__()
        self.network, self.images, self.calls = network, 0, 0

    def forward(self, images):
        self.images += len(images)
        self.calls += 1
        return self.network(images)


def convolutional(dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Tanh(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(),
        nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(5),
    ).to(dtype)  # fmt: skip


def batch(count=5, height=9, width=10, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(count, 3, height, width, generator=generator, dtype=torch.float64)
    adversarials = (images + 0.2 * torch.randn(images.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    labels = torch.arange(count) % 5
    targets = (labels + 1 + torch.arange(count) % 3) % 5
    network = convolutional(dtype)
    network(images.to(dtype))  # the lazy layer, and running statistics
    return network.eval(), images.to(dtype), adversarials.to(dtype), labels, targets


def loop(network, images, adversarials, labels, targets, cell_size, floor, stride=None):
    """Equations (1) to (4), a cell at a time."""
    effects = np.zeros((4, len(images), len(grid_cells(*images.shape[-2:], cell_size, stride))))
    for row in range(len(images)):
        before = network(adversarials[row : row + 1])[0].detach().numpy()
        for place, (top, left, bottom, right) in enumerate(grid_cells(*images.shape[-2:], cell_size, stride).tolist()):
            without = adversarials[row].clone()
            delta = adversarials[row] - images[row]
            without[:, top:bottom, left:right] -= delta[:, top:bottom, left:right]
            after = network(without[None])[0].detach().numpy()
            suppression = max(after[labels[row]] - before[labels[row]], floor)
            promotion = max(before[targets[row]] - after[targets[row]], floor)
            ratio = math.log2(promotion / suppression)
            effects[:, row, place] = suppression, promotion, suppression + promotion, ratio
    return effects


def test_a_linear_network_by_hand():
    # Logits: label 1 * left pixel + 2 * right pixel; target minus 4 * right pixel. Both pixels fall by 0.5, 0.25.
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    network[1].weight.data = torch.tensor([[1.0, 2.0], [0.0, -4.0]])
    images, adversarials = torch.tensor([[[[1.0, 1.0]]]]), torch.tensor([[[[0.5, 0.75]]]])
    effects = promotion_suppression(
        network, images, adversarials, torch.tensor([0]), torch.tensor([1]), cell_size=1, floor=0.125
    )
    # Removing the left: true logit + 0.5, target 0 -> floor. The right: true + 0.5, target -3 -> -4, so 1 lost.
    assert effects.suppression.tolist() == [[0.5, 0.5]]
    assert effects.promotion.tolist() == [[0.125, 1.0]]
    assert effects.score.tolist() == [[0.625, 1.5]]
    assert effects.ratio.tolist() == [[-2.0, 1.0]]
    assert effects.norm_l2.tolist() == effects.norm_linf.tolist() == [[0.5, 0.25]]
    assert effects.cells.tolist() == [[0, 0, 1, 1], [0, 1, 1, 2]]
    # The default floor is 1e-4 of the range of Z(x') = (2, -3).
    effects = promotion_suppression(network, images, adversarials, torch.tensor([0]), torch.tensor([1]), cell_size=1)
    assert effects.floor.item() == pytest.approx(5e-4)
    assert effects.promotion[0, 0].item() == effects.floor.item()


@pytest.mark.parametrize(("cell_size", "stride"), [(4, None), (3, 2), (20, None)])
def test_equals_the_definition_cell_by_cell(cell_size, stride):
    network, *arguments = batch()
    effects = promotion_suppression(network, *arguments, cell_size=cell_size, stride=stride, floor=1e-3)
    expected = loop(network, *arguments, cell_size, 1e-3, stride)
    for ours, theirs in zip(effects[:4], expected, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_equals_captums_feature_ablation():
    network, images, adversarials, labels, targets = batch()
    effects = promotion_suppression(network, images, adversarials, labels, targets, cell_size=4)
    mask = torch.zeros(9, 10, dtype=torch.int64)
    for place, (top, left, bottom, right) in enumerate(effects.cells.tolist()):
        mask[top:bottom, left:right] = place
    ablation = FeatureAblation(network)

    def lost(classes):  # logit lost by going back to the clean pixels, at one pixel of each cell
        maps = ablation.attribute(adversarials, baselines=images, target=classes, feature_mask=mask[None, None])
        return maps[:, 0, effects.cells[:, 0], effects.cells[:, 1]].detach()

    floor = effects.floor[:, None]
    assert torch.allclose(effects.suppression, (-lost(labels)).maximum(floor), rtol=0, atol=1e-5)
    assert torch.allclose(effects.promotion, lost(targets).maximum(floor), rtol=0, atol=1e-5)


def test_any_chunk_size_gives_the_same():
    network, *arguments = batch()
    whole = promotion_suppression(network, *arguments, cell_size=3)
    for chunk_size in (1, 2, 7, 1000):
        part = promotion_suppression(network, *arguments, cell_size=3, chunk_size=chunk_size)
        assert torch.allclose(part.score, whole.score, rtol=1e-12)


def test_any_chunk_size_gives_the_same_bits_on_micro_batches():
    network, *arguments = batch(dtype=torch.float32)
    still = MicroBatched(network, 8)
    whole = promotion_suppression(still, *arguments, cell_size=3)
    for chunk_size in (1, 5, 16, 1000):
        part = promotion_suppression(still, *arguments, cell_size=3, chunk_size=chunk_size)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(part, whole, strict=True))
    alone = promotion_suppression(still, *(argument[2:3] for argument in arguments), cell_size=3)
    assert torch.equal(alone.ratio[0], whole.ratio[2])


def test_costs_one_forward_and_one_per_perturbed_cell():
    network, images, adversarials, labels, targets = batch(count=4)
    counting = Counting(network)
    adversarials[1] = images[1]  # no perturbation: 1 forward
    adversarials[2, :, 4:, :] = images[2, :, 4:, :]  # only the first row of cells: 1 + 3
    targets[3] = labels[3]  # undefined: 1
    effects = promotion_suppression(counting, images, adversarials, labels, targets, cell_size=4, chunk_size=256)
    assert effects.score.shape == (4, 9)
    assert counting.images == (1 + 9) + 1 + (1 + 3) + 1
    assert counting.calls == 2
    assert (effects.ratio[1] == 0).all()
    assert torch.equal(effects.score[1], 2 * effects.floor[1].expand(9))
    assert (effects.score[2, 3:] == 2 * effects.floor[2]).all()
    assert effects.score[3].isnan().all()
    assert effects.ratio[3].isnan().all()
    assert not effects.ratio[:3].isnan().any()


def test_is_undefined_where_a_logit_is_nan():
    class Broken(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :5].where(images.mean((1, 2, 3))[:, None] < 0.5, torch.nan)

    images = torch.full((2, 1, 4, 4), 0.2)
    adversarials = images.clone()
    adversarials[:, :, :2, :2] += 0.1
    adversarials[1] = 0.95
    adversarials[1, :, 2:, 2:] = 0.2  # a cell without perturbation: no less undefined
    for floor in (None, 0.01):
        effects = promotion_suppression(
            Broken(), images, adversarials, torch.tensor([0, 0]), torch.tensor([1, 1]), cell_size=2, floor=floor
        )
        assert effects.score.isnan().all(1).tolist() == [False, True]
        columns = PromotionSuppression.columns(effects)
        assert columns["inactive_share"].tolist() == pytest.approx([0.75, math.nan], nan_ok=True)
        # What it cost is known all the same.
        assert columns.pop("passes").tolist() == [1, 4 - 1]
        assert columns.pop("operations_share").tolist() == [1, 1]
        assert all(column[1].isnan() for column in columns.values())


def test_leaves_the_network_as_found_also_in_inference_mode():
    network, *arguments = batch()
    expected = promotion_suppression(network, *arguments, cell_size=4)
    network.train()
    network[0].eval()
    network[3].weight.requires_grad_(False)
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    with torch.inference_mode():
        effects = promotion_suppression(network, *(argument.clone() for argument in arguments), cell_size=4)
    assert torch.equal(effects.ratio, expected.ratio)  # so neither dropout nor batch statistics were on
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network[3].parameters()] == [False, True]
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_finds_the_planted_region():
    class Corner(nn.Module):
        """Looks at the upper left 4 x 4 pixels alone; bright there means class 1."""

        def forward(self, images):
            seen = images[:, :, :4, :4].mean((1, 2, 3))
            return torch.stack([1 - seen, seen, torch.zeros_like(seen)], dim=1)

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 16, 16, generator=generator) * 0.4
    adversarials = images + 0.3 + 0.2 * torch.rand(images.shape, generator=generator)
    effects = promotion_suppression(
        Corner(), images, adversarials, torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64), cell_size=4
    )
    active = effects.score > 2 * effects.floor[:, None]
    assert active[:, 0].all()
    assert not active[:, 1:].any()
    # Both logits move by the same amount: the cell suppresses as much as it promotes.
    assert torch.allclose(effects.ratio, torch.zeros_like(effects.ratio), atol=1e-4)
    columns = PromotionSuppression.columns(effects)
    assert columns["inactive_share"].tolist() == [15 / 16] * 6
    assert columns["balance_share_by_count"].tolist() == [1.0] * 6
    # The one cell holds more than 70% of the scores' sum: footnote 3 leaves none above beta.
    assert columns["balance_share"].isnan().all()


def planted(suppression, promotion, floor=0.5, norms=None):
    suppression, promotion = torch.tensor([suppression]).double(), torch.tensor([promotion]).double()
    norms = torch.tensor([norms]).double() if norms else torch.ones_like(suppression)
    ratio = (promotion / suppression).log2()
    cells = torch.zeros(suppression.shape[1], 4, dtype=torch.int64)
    scores, passes = suppression + promotion, torch.tensor([suppression.shape[1]])
    floors = torch.tensor([floor]).double()
    return CellEffects(suppression, promotion, scores, ratio, floors, cells, norms, norms, passes, passes.double() / 8)


def test_shares_by_hand():
    # s = 1, 1, 5, 6, 6, 6, 4, 1; sum 30. Ascending 1 1 1 4 5 6 6 6, running 1 2 3 7 12: 30% = 9 is reached at 5.
    # Above 5: places 3, 4, 5, of r = log2(1/5), log2(5/1), 0: a third each.
    # By count ceil(5.6) = 6 cells: all with s >= 1 (the sixth ties with two others), less the three inactive: 5 cells,
    # of r = log2(2/3), log2(1/5), log2(5), 0, log2(3/1).
    effects = planted([0.5, 0.5, 3, 5, 1, 3, 1, 0.5], [0.5, 0.5, 2, 1, 5, 3, 3, 0.5])
    columns = PromotionSuppression.columns(effects)
    assert [columns[f"{kind}_share"].item() for kind in ("suppression", "promotion", "balance")] == [1 / 3] * 3
    assert columns["suppression_share_by_count"].item() == 1 / 5
    assert columns["promotion_share_by_count"].item() == 2 / 5
    assert columns["balance_share_by_count"].item() == 2 / 5
    assert columns["inactive_share"].item() == 3 / 8


def test_a_ratio_of_one_is_balanced():
    columns = PromotionSuppression.columns(planted([1, 2, 2, 1, 1], [2, 1, 2, 2, 2], floor=1e-3))
    assert columns["balance_share_by_count"].item() == 1


def test_shares_are_undefined_where_no_cell_is_active():
    columns = PromotionSuppression.columns(planted([0.5] * 4, [0.5] * 4))
    assert all(columns[f"{kind}_share{suffix}"].isnan() for kind in ("suppression", "promotion", "balance")
               for suffix in ("", "_by_count"))  # fmt: skip
    assert columns["inactive_share"].item() == 1


def test_correlations_equal_scipy():
    network, *arguments = batch()
    effects = promotion_suppression(network, *arguments, cell_size=3)
    columns = PromotionSuppression.columns(effects)
    for kind, theirs in (("pearson", scipy.stats.pearsonr), ("kendall", scipy.stats.kendalltau)):
        for effect in ("suppression", "promotion", "score"):
            for norm in ("l2", "linf"):
                expected = []
                for values, norms in zip(getattr(effects, effect), getattr(effects, f"norm_{norm}"), strict=True):
                    steps = np.round(norms.numpy() / norms.numpy().max() * 10_000)  # told apart to 1e-4 of the largest
                    expected.append(theirs(values.numpy(), steps).statistic)
                assert columns[f"{kind}_{effect}_{norm}"].tolist() == pytest.approx(expected, abs=1e-9)


def test_correlations_are_undefined_for_a_saturated_perturbation():
    # x + 8/255 in float32 is rounded: the norms of the cells differ in the seventh digit, which is no variation.
    network, images, _, labels, targets = batch(dtype=torch.float32, height=9, width=9)
    signs = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = images * 0.9 + 0.05
    effects = promotion_suppression(network, images, images + 8 / 255 * signs, labels, targets, cell_size=3)
    assert effects.norm_l2.amax() > effects.norm_l2.amin()
    columns = PromotionSuppression.columns(effects)
    assert all(column.isnan().all() for name, column in columns.items() if name.startswith(("pearson", "kendall")))


def test_correlations_follow_the_planted_norms():
    columns = PromotionSuppression.columns(planted([1, 2, 3, 4], [4, 3, 2, 1], floor=1e-3, norms=[1, 2, 3, 4]))
    for kind in ("pearson", "kendall"):
        assert columns[f"{kind}_suppression_l2"].item() == pytest.approx(1)
        assert columns[f"{kind}_promotion_linf"].item() == pytest.approx(-1)
        assert columns[f"{kind}_score_l2"].isnan()  # 5 everywhere


def test_the_metric_knows_the_columns():
    network, *arguments = batch()
    columns = PromotionSuppression.columns(promotion_suppression(network, *arguments, cell_size=3))
    assert set(columns) == set(PromotionSuppression().quantities)
    assert len(columns) == 7 + 2 + 12
    assert all(column.shape == (5,) and column.dtype == torch.float64 for column in columns.values())


def test_takes_an_empty_batch():
    network, *arguments = batch()
    effects = promotion_suppression(network, *(argument[:0] for argument in arguments), cell_size=3)
    assert effects.ratio.shape == (0, 12)
    assert all(column.shape == (0,) for column in PromotionSuppression.columns(effects).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(5, 9, 10)}, r"images must be float \(N, C, H, W\)"),
        ({"adversarials": torch.zeros(5, 3, 9, 10, dtype=torch.uint8)}, "adversarials must be float"),
        ({"images": torch.zeros(4, 3, 9, 10).double()}, "images and adversarials must be of one shape and type"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, r"labels must be int64 \(5,\)"),
        ({"targets": torch.zeros(5)}, r"targets must be int64 \(5,\), got torch.float32"),
        ({"targets": torch.tensor([0, 1, 2, 3, 5])}, r"targets must be in 0 ... 4, got 0 ... 5"),
        ({"labels": torch.tensor([0, -1, 2, 3, 4])}, r"labels must be in 0 ... 4, got -1 ... 4"),
        ({"cell_size": 0}, "cell_size must be at least 1, got 0"),
        ({"stride": 4}, "stride must be in 1 ... cell_size = 3, got 4"),
        ({"chunk_size": 0}, "chunk_size must be at least 1, got 0"),
        ({"floor": 0.0}, "floor must be positive and finite"),
        ({"floor": math.inf}, "floor must be positive and finite"),
        ({"network": nn.Identity()}, r"network must return logits \(N, K\), got shape \(5, 3, 9, 10\)"),
    ],
)
def test_refuses_bad_arguments(change, message):
    names = ("network", "images", "adversarials", "labels", "targets")
    arguments = dict(zip(names, batch(), strict=True)) | {"cell_size": 3} | change
    with pytest.raises(ValueError, match=message):
        promotion_suppression(arguments.pop("network"), **arguments)
