"""Bilinear sampling: torch's own up to rounding, between its neighbours exactly, the same in any batch."""

import pytest
import torch
from torch.nn.functional import interpolate

from advscope.measures.dissection.bilinear import axis, sampled


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("source", "target"), [(7, 112), (14, 113), (56, 32), (3, 3), (1, 9), (9, 1), (5, 7)])
def test_equals_interpolation_up_to_rounding(source: int, target: int, align_corners: bool) -> None:
    maps = torch.randn(2, 3, source, source, generator=torch.Generator().manual_seed(source))
    places = axis(source, target, align_corners)
    found = sampled(maps.permute(2, 3, 0, 1), places, places).permute(2, 3, 0, 1)
    wanted = interpolate(maps.double(), (target, target), mode="bilinear", align_corners=align_corners)
    assert (found - wanted).abs().max() < 2e-6


def test_values_lie_between_those_that_they_are_taken_from() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(6, 6, 500, generator=generator) * 10 ** torch.randn(500, generator=generator)
    for target in (6, 7, 50, 113):
        places = axis(6, target)
        found = sampled(maps, places, places)
        corners = torch.stack([
            maps[down][:, across] for down in (places.low, places.high) for across in (places.low, places.high)
        ])  # fmt: skip
        assert (found <= corners.amax(0)).all()
        assert (found >= corners.amin(0)).all()


def test_neighbours_and_parts_change_no_bit() -> None:
    maps = torch.randn(7, 7, 40, generator=torch.Generator().manual_seed(1))
    places = axis(7, 50)
    whole = sampled(maps, places, places)
    assert torch.equal(sampled(maps[:, :, 3:4], places, places), whole[:, :, 3:4])
    assert torch.equal(sampled(maps.permute(2, 0, 1).contiguous().permute(1, 2, 0), places, places), whole)
    part = sampled(maps[int(places.low[20]) :], places.part(20, 30), places)
    assert torch.equal(part, whole[20:30])


def test_the_next_place_is_never_reached() -> None:
    for source in range(2, 40):
        for target in range(1, 60):
            for align_corners in (True, False):
                assert float(axis(source, target, align_corners).share.max()) < 1


def test_corners_are_the_same_places_exactly() -> None:
    for source in range(2, 40):
        for target in range(2, 120):
            places = axis(source, target, True)
            assert int(places.low[0]) == 0
            assert int(places.low[-1]) == source - 1
            assert places.share[[0, -1]].tolist() == [0, 0]
