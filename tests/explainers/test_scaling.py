"""Maps scaled to [0, 1], each by itself and jointly."""

import pytest
import torch

from advscope.explainers import scaled, scaled_jointly


def maps():
    return torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 7 + 2


def test_each_map_spans_zero_to_one_by_its_own_extremes():
    found = scaled(maps())
    for row in range(3):
        for place in range(4):
            one = maps()[row, place]
            torch.testing.assert_close(found[row, place], (one - one.min()) / (one.max() - one.min()))
            assert (found[row, place].min(), found[row, place].max()) == (0, 1)
    assert torch.equal(scaled(maps()[:, 0]), found[:, 0])


def test_maps_of_an_image_share_their_extremes_jointly():
    found = scaled_jointly(maps())
    for row in range(3):
        group = maps()[row]
        torch.testing.assert_close(found[row], (group - group.min()) / (group.max() - group.min()))
    assert (found.amin((1, 2, 3)) == 0).all()
    assert (found.amax((1, 2, 3)) == 1).all()
    # The order of values of different maps is kept, which scaling them apart does not do.
    assert torch.equal(maps()[0].flatten().argsort(), found[0].flatten().argsort())


@pytest.mark.parametrize("function", [scaled, scaled_jointly])
def test_scale_and_shift_do_not_matter(function):
    torch.testing.assert_close(function(maps() * 3e4 - 80), function(maps()))


def test_a_constant_map_is_undefined():
    given = maps()
    given[0, 1] = 3.5
    given[1] = 2.5
    assert scaled(given).isnan().flatten(2).all(2).tolist() == [[False, True, False, False], [True] * 4, [False] * 4]
    assert scaled(given).isnan().flatten(2).any(2).tolist() == [[False, True, False, False], [True] * 4, [False] * 4]
    assert scaled_jointly(given).isnan().flatten(1).all(1).tolist() == [False, True, False]
    assert scaled_jointly(given).isnan().flatten(1).any(1).tolist() == [False, True, False]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_spoils_its_map_alone(value):
    given = maps()
    given[0, 1, 2, 3] = value
    assert scaled(given).isnan().flatten(2).all(2)[0].tolist() == [False, True, False, False]
    assert scaled(given).isnan().flatten(2).any(2)[0].tolist() == [False, True, False, False]
    assert scaled_jointly(given).isnan().flatten(1).all(1).tolist() == [True, False, False]


def test_refuses_other_shapes_and_types():
    with pytest.raises(ValueError, match=r"maps must be float \(..., H, W\), got torch.float32 \(4,\)"):
        scaled(torch.zeros(4))
    with pytest.raises(ValueError, match=r"maps must be float \(..., M, H, W\), got torch.float32 \(4, 4\)"):
        scaled_jointly(torch.zeros(4, 4))
    with pytest.raises(ValueError, match="maps must be float"):
        scaled(torch.zeros(4, 4, dtype=torch.int64))
    assert scaled(torch.zeros(0, 4, 4)).shape == (0, 4, 4)
