"""IS, against hand calculations, a plain numpy loop and planted truth."""

import math

import numpy as np
import pytest
import torch

from advscope.measures import InterpretabilityScore, interpretability_score, masked_share, salient_mask
from advscope.measures.interpretability_score import suffix


def pairs(count=6, height=7, width=9, ties=False):
    generator = torch.Generator().manual_seed(0)
    perturbations = torch.randn(count, 3, height, width, generator=generator) / 30
    heatmaps = torch.randn(count, height, width, generator=generator)
    return perturbations, heatmaps.mul(2).round() if ties else heatmaps


def loop(perturbation, heatmap, quantile):
    """Equations (5), (6), a position at a time, with nu the value with ceil(quantile * P) values before it."""
    ordered = sorted(heatmap.ravel().tolist())
    nu = ordered[math.ceil(round(quantile * len(ordered), 6))]
    inside = everywhere = positions = 0
    for place in np.ndindex(heatmap.shape):
        energy = sum(float(value) ** 2 for value in perturbation[(slice(None), *place)])
        everywhere += energy
        if heatmap[place] >= nu:
            inside += energy
            positions += 1
    share = positions / heatmap.size
    score = math.sqrt(inside) / math.sqrt(everywhere)
    return score, math.sqrt(share), (score - math.sqrt(share)) / (1 - math.sqrt(share)), share


def test_by_hand():
    # Ten positions 0 ... 9: seven before nu = 7, so the mask is {7, 8, 9}. Norms 1, 2, 2 in it, 4 outside: 3 / 5.
    heatmaps = torch.arange(10.0).view(1, 2, 5)
    perturbations = torch.zeros(1, 1, 2, 5)
    perturbations.view(-1)[[0, 7, 8, 9]] = torch.tensor([4.0, 1.0, -2.0, 2.0])
    result = interpretability_score(perturbations, heatmaps)
    assert result.score.item() == pytest.approx(0.6)
    assert result.mask_share.item() == pytest.approx(0.3)
    assert result.chance.item() == pytest.approx(math.sqrt(0.3))
    assert result.excess.item() == pytest.approx((0.6 - math.sqrt(0.3)) / (1 - math.sqrt(0.3)))


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("ties", [False, True])
def test_equals_a_loop(quantile, ties):
    perturbations, heatmaps = pairs(ties=ties)
    result = interpretability_score(perturbations, heatmaps, quantile)
    for row, (perturbation, heatmap) in enumerate(zip(perturbations.numpy(), heatmaps.numpy(), strict=True)):
        if quantile == 0:
            assert [column[row].item() for column in result] == pytest.approx([1, 1, math.nan, 1], nan_ok=True)
        else:
            assert [column[row].item() for column in result] == pytest.approx(loop(perturbation, heatmap, quantile))


@pytest.mark.parametrize("positions", [10, 30, 64, 1024, 299])
def test_the_mask_holds_thirty_percent_to_a_pixel(positions):
    heatmaps = torch.randperm(positions, generator=torch.Generator().manual_seed(0)).float().view(1, 1, positions)
    share = interpretability_score(torch.ones(1, 1, 1, positions), heatmaps).mask_share.item()
    assert share * positions == pytest.approx(3 * positions // 10)


def test_a_saturated_perturbation_scores_its_chance_whatever_the_map():
    _, heatmaps = pairs(height=32, width=32)
    signs = torch.randint(0, 2, (6, 3, 32, 32), generator=torch.Generator().manual_seed(1)) * 2 - 1
    result = interpretability_score(signs * 8 / 255, heatmaps)
    assert torch.allclose(result.score, torch.full((6,), math.sqrt(307 / 1024), dtype=torch.float64), rtol=1e-6)
    assert result.score.mean().item() == pytest.approx(0.548, abs=1e-3)
    assert torch.allclose(result.excess, torch.zeros(6, dtype=torch.float64), atol=1e-6)


def test_ties_widen_the_mask_and_are_told():
    # Eight zeros of ten, as a ReLU leaves: nu = 0, and the whole image is masked.
    heatmaps = torch.tensor([[[0.0] * 8 + [1.0, 2.0]], [[-float(i) for i in range(8)] + [1.0, 2.0]]])
    perturbations = torch.ones(2, 1, 1, 10)
    result = interpretability_score(perturbations, heatmaps)
    assert result.mask_share.tolist() == pytest.approx([1.0, 0.3])
    assert result.score[0] == result.chance[0] == 1
    assert result.excess.isnan().tolist() == [True, False]


def test_only_the_order_of_the_map_matters():
    perturbations, heatmaps = pairs()
    expected = interpretability_score(perturbations, heatmaps)
    for other in (heatmaps * 1e-6, heatmaps * 1e6 + 7e6, heatmaps.double().exp()):
        assert torch.equal(interpretability_score(perturbations, other).mask_share, expected.mask_share)
        assert torch.allclose(interpretability_score(perturbations, heatmaps * 3).score, expected.score)


def test_the_scale_of_the_perturbation_does_not_matter():
    perturbations, heatmaps = pairs()
    expected = interpretability_score(perturbations, heatmaps).score
    for scale in (-1, 1e-6, 1e6):
        assert torch.allclose(interpretability_score(perturbations.double() * scale, heatmaps).score, expected)


def test_is_undefined_without_a_perturbation_and_with_a_nan():
    perturbations, heatmaps = pairs(count=4)
    perturbations[0] = 0
    perturbations[1, 0, 0, 0] = torch.nan
    heatmaps[2, 0, 0] = torch.nan
    result = interpretability_score(perturbations, heatmaps)
    assert result.score.isnan().tolist() == [True, True, True, False]
    assert result.excess.isnan().tolist() == [True, True, True, False]
    assert result.chance.isnan().tolist() == [False, True, True, False]  # the mask is there without a perturbation


def test_a_constant_map_masks_everything_and_has_no_excess():
    perturbations, _ = pairs(count=1)
    result = interpretability_score(perturbations, torch.full((1, 7, 9), 0.1))
    assert result.score.item() == result.chance.item() == result.mask_share.item() == 1
    assert result.excess.isnan().item()


def test_a_perturbation_inside_the_map_scores_one():
    heatmaps = torch.zeros(1, 10, 10)
    heatmaps[0, 2:7, 2:8] = 1 + torch.rand(5, 6, generator=torch.Generator().manual_seed(0))  # 30 of 100 positions
    inside = torch.zeros(1, 3, 10, 10)
    inside[:, :, 3:6, 3:7] = 0.1
    result = interpretability_score(torch.cat([inside, 0.1 - inside]), heatmaps.repeat(2, 1, 1))
    assert result.score[0] == result.excess[0] == 1
    assert result.excess[1] < 0


def test_row_does_not_depend_on_its_neighbours():
    perturbations, heatmaps = pairs()
    whole = interpretability_score(perturbations, heatmaps)
    for row in range(6):
        alone = interpretability_score(perturbations[row : row + 1], heatmaps[row : row + 1])
        assert all(torch.equal(one, all_rows[row : row + 1]) for one, all_rows in zip(alone, whole, strict=True))


def test_the_metric_knows_the_columns():
    perturbations, heatmaps = pairs()
    clean = interpretability_score(perturbations, heatmaps)
    adversarial = interpretability_score(perturbations, -heatmaps)
    metric = InterpretabilityScore()
    given = {"": perturbations}
    columns = metric.columns("clean", salient_mask(heatmaps), given)
    columns |= metric.columns("adversarial", salient_mask(-heatmaps), given)
    assert tuple(columns) == metric.quantities
    assert set(columns) >= {"score_clean", "excess_adversarial", "mask_share_clean", "chance_adversarial"}
    everyone = torch.ones(6, dtype=torch.bool)
    metric.update(columns, everyone, everyone)
    assert metric.compute()["score_clean"].value == pytest.approx(clean.score.mean().item())
    assert metric.compute()["score_adversarial"].value == pytest.approx(adversarial.score.mean().item())


def test_the_names_of_explainers_quantiles_and_controls():
    metric = InterpretabilityScore([suffix(), suffix("early"), suffix("early", 0.6)], ["noise"])
    assert {"score_clean", "score_clean_noise_early_at_60", "mask_share_adversarial_early"} <= set(metric.quantities)
    assert len(metric.quantities) == 3 * 2 * 5
    assert [suffix("", 0.0), suffix("", 0.999), suffix("a_1", 0.295)] == ["_at_0", "_at_100", "_a_1_at_30"]
    with pytest.raises(ValueError, match="quantities must be one or more different names"):
        InterpretabilityScore(["", ""])
    with pytest.raises(ValueError, match="controls must be among noise, shuffled, shuffled_cells, got random"):
        InterpretabilityScore(controls=["random"])


def test_a_share_in_an_empty_mask_is_undefined():
    perturbations, _ = pairs()
    assert all(values.isnan().all() for values in masked_share(perturbations, torch.zeros(6, 7, 9, dtype=torch.bool)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"perturbations": torch.zeros(6, 7, 9)}, r"perturbations must be float \(N, C, H, W\)"),
        ({"perturbations": torch.zeros(6, 3, 7, 9, dtype=torch.uint8)}, "perturbations must be float"),
        ({"heatmaps": torch.zeros(6, 4, 4)}, r"heatmaps must be float \(6, 7, 9\), got torch.float32 \(6, 4, 4\)"),
        ({"quantile": 1.0}, r"quantile must be in \[0, 1\), got 1.0"),
        ({"quantile": -0.1}, r"quantile must be in \[0, 1\), got -0.1"),
    ],
)
def test_refuses_bad_arguments(change, message):
    arguments = dict(zip(("perturbations", "heatmaps"), pairs(), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        interpretability_score(**arguments)
