"""The mask of a heatmap, and the region of salient pixels."""

import pytest
import torch

from advscope.explainers import CAM
from advscope.measures import SalientPixels, interpretability_score, salient_mask
from advscope.networks import CIFARResNet


def heatmaps(count=4, height=5, width=6):
    return torch.randn(count, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("ties", [False, True])
def test_the_mask_is_what_has_enough_values_below_it(quantile, ties):
    maps = heatmaps().mul(2).round() if ties else heatmaps()
    mask = salient_mask(maps, quantile)
    for row, values in enumerate(maps.flatten(1).tolist()):
        # As many values as the share says lie before the quantile, or all but one.
        nu = sorted(values)[min(int(quantile * 30 + 0.999999), 29)]
        assert mask[row].flatten().tolist() == [value >= nu for value in values]


def test_the_region_is_the_mask_that_the_score_is_taken_in():
    # A perturbation that lies in the region alone has the score 1, one that leaves it alone 0.
    maps = heatmaps().mul(2).round()
    region = SalientPixels(lambda network, images, classes: maps, quantile=0.6)
    images = torch.rand(4, 3, 5, 6)
    mask = region(None, images, None, torch.zeros(4, dtype=torch.int64), None)
    assert mask.shape == (4, 1, 5, 6)
    assert interpretability_score(mask.expand(-1, 3, -1, -1).float(), maps, 0.6).score.tolist() == [1] * 4
    assert interpretability_score((~mask).expand(-1, 3, -1, -1).float(), maps, 0.6).score.tolist() == [0] * 4
    shares = interpretability_score(torch.ones(4, 3, 5, 6), maps, 0.6).mask_share
    assert torch.equal(shares, mask.double().mean((1, 2, 3)))


def test_the_map_is_that_of_the_clean_image_for_its_label():
    torch.manual_seed(0)
    network = CIFARResNet(8, width=8).eval()
    images, labels = torch.rand(3, 3, 32, 32), torch.tensor([1, 4, 9])
    mask = SalientPixels(CAM())(network, images, torch.rand(3, 3, 32, 32), labels, (labels + 1) % 10)
    assert torch.equal(mask[:, 0], salient_mask(CAM()(network, images, labels)))
    assert not torch.equal(mask[:, 0], salient_mask(CAM()(network, images, (labels + 1) % 10)))
    assert (mask.sum((1, 2, 3)) == 307).all()  # floor(0.3 * 1024)


def test_an_undefined_map_has_an_empty_region_and_a_constant_one_the_whole_image():
    maps = heatmaps()
    maps[1, 2, 3] = torch.nan
    maps[2] = 1.5
    region = SalientPixels(lambda network, images, classes: maps)
    sizes = region(None, torch.rand(4, 3, 5, 6), None, None, None).sum((1, 2, 3))
    assert sizes.tolist() == [9, 0, 30, 9]


def test_only_the_order_of_the_values_matters():
    maps = heatmaps()
    assert torch.equal(salient_mask(maps * 1e-20 - 3e-20), salient_mask(maps))
    assert torch.equal(salient_mask(maps.double().exp()), salient_mask(maps))
    assert torch.equal(salient_mask(maps[[2, 0]]), salient_mask(maps)[[2, 0]])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="explainer must be callable, such as advscope"):
        SalientPixels("CAM")
    with pytest.raises(ValueError, match=r"explainer must be callable, such as .*, got <class"):
        SalientPixels(CAM)
    with pytest.raises(ValueError, match=r"quantile must be in \[0, 1\), got '0.7'"):
        SalientPixels(CAM(), quantile="0.7")
    with pytest.raises(ValueError, match=r"quantile must be in \[0, 1\), got 1.0"):
        SalientPixels(CAM(), quantile=1.0)
    with pytest.raises(ValueError, match=r"heatmaps must be float \(N, H, W\), got torch.int64 \(4, 5, 6\)"):
        salient_mask(heatmaps().long())
    region = SalientPixels(lambda network, images, classes: heatmaps())
    with pytest.raises(ValueError, match=r"must return heatmaps of shape \(4, 8, 8\), got \(4, 5, 6\)"):
        region(None, torch.rand(4, 3, 8, 8), None, None, None)


def test_regions_are_values():
    assert SalientPixels(CAM()) == SalientPixels(CAM()) != SalientPixels(CAM(), 0.5)
    assert SalientPixels(CAM()).settings() == {"class": "SalientPixels", "explainer": {"class": "CAM"}, "quantile": 0.7}
