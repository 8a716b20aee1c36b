"""The region of significant cells, against a plain loop."""

import pytest
import torch
from torch import nn

from advscope.measures import SignificantCells, cell_mask, grid_cells, promotion_suppression
from advscope.region import Region


def setting(count=5, height=10, width=7):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 8 * 5, 4)).double().eval()
    images = torch.rand(count, 3, height, width, dtype=torch.float64)
    adversarials = (images + torch.randn_like(images) / 20).clamp(0, 1)
    labels = torch.arange(count) % 4
    return network, images, adversarials, labels, (labels + 1) % 4


def loop(region, effects, row, height, width):
    """Footnote 3, a cell at a time: the pixels of cells whose score is above beta."""
    scores = effects.score[row].tolist()
    running, beta = 0.0, None
    for score in sorted(scores):
        running += score
        if beta is None and running >= (1 - region.share) * sum(scores):
            beta = score
    pixels = {
        (y, x)
        for score, (top, left, bottom, right) in zip(scores, effects.cells.tolist(), strict=True)
        if score > beta
        for y in range(top, bottom)
        for x in range(left, right)
    }
    return [[(y, x) in pixels for x in range(width)] for y in range(height)]


@pytest.mark.parametrize(
    "region",
    [
        SignificantCells(3),
        SignificantCells(4, stride=3),
        SignificantCells(2, share=0.4),
        SignificantCells(3, floor=0.005),
    ],
    ids=str,
)
def test_equals_a_loop(region):
    given = setting()
    mask = region(*given)
    effects = promotion_suppression(*given, cell_size=region.cell_size, stride=region.stride, floor=region.floor)
    assert mask.dtype == torch.bool
    assert mask.shape == (5, 1, 10, 7)
    for row in range(5):
        assert mask[row, 0].tolist() == loop(region, effects, row, 10, 7)
    assert 0 < mask.double().mean() < 1


def test_the_reading_by_count_takes_that_share_of_the_cells():
    mask = SignificantCells(1, reading="count")(*setting())
    # 0.7 of 70; in the second image more than 21 cells are at the floor, and ties stay together.
    assert mask.flatten(1).sum(1).tolist() == [49, 70, 49, 49, 49]


def test_chunks_and_neighbours_do_not_matter():
    network, *given = setting()
    whole = SignificantCells(3)(network, *given)
    assert torch.equal(SignificantCells(3, chunk_size=2)(network, *given), whole)
    rows = torch.tensor([4, 1])
    assert torch.equal(SignificantCells(3)(network, *(values[rows] for values in given)), whole[rows])


def test_an_undefined_image_has_an_empty_region():
    network, images, adversarials, labels, targets = setting()
    targets[1] = labels[1]  # the attack failed
    adversarials[2] = images[2]  # nothing is perturbed: no score is above any other
    adversarials[3] = torch.nan
    mask = SignificantCells(3)(network, images, adversarials, labels, targets)
    assert mask.flatten(1).any(1).tolist() == [True, False, False, False, True]


def test_cells_that_overlap_are_united():
    chosen = torch.tensor([[True, True, False], [False, False, True]])
    mask = cell_mask(chosen, torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3], [0, 2, 3, 4]]), 3, 4)
    assert mask.long().tolist() == [
        [[[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0]]],
        [[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]],
    ]
    everything = torch.ones(1, len(grid_cells(7, 5, 3)), dtype=torch.bool)
    assert cell_mask(everything, grid_cells(7, 5, 3), 7, 5).all()


def test_regions_are_values():
    assert SignificantCells(4) == SignificantCells(4) != SignificantCells(4, share=0.5)
    assert len({SignificantCells(4), SignificantCells(4), SignificantCells(5)}) == 2
    assert repr(SignificantCells(4)) == (
        "SignificantCells(cell_size=4, stride=None, share=0.7, reading='cumulative', floor=None, chunk_size=64, "
        "forward='auto')"
    )
    assert isinstance(SignificantCells(4), Region)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cell_size": 0}, "cell_size must be at least 1, got 0"),
        ({"cell_size": "4"}, "cell_size must be a whole number, got '4'"),
        ({"cell_size": 4, "stride": 1.5}, "stride must be a whole number, got 1.5"),
        ({"cell_size": 4, "share": "0.7"}, r"share must be in \(0, 1\), got '0.7'"),
        ({"cell_size": 4, "floor": "a"}, "floor must be positive and finite, or None .* got 'a'"),
        ({"cell_size": 4, "stride": 5}, "stride must be in 1 ... cell_size = 4, got 5"),
        ({"cell_size": 4, "share": 1.0}, r"share must be in \(0, 1\), got 1.0"),
        ({"cell_size": 4, "reading": "sum"}, "reading must be 'cumulative' or 'count', got 'sum'"),
        ({"cell_size": 4, "floor": 0.0}, "floor must be positive and finite, or None"),
        ({"cell_size": 4, "chunk_size": 0}, "chunk_size must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named_before_anything_runs(settings, message):
    with pytest.raises(ValueError, match=message):
        SignificantCells(**settings)
