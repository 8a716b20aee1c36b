"""Where units are active: against bilinear sampling written out, and where rounding could tell a plateau apart."""

import math

import pytest
import torch
from torch import Tensor

from advscope.measures import unit_masks


def sampled(values: Tensor, height: int, width: int) -> list[list[float]]:
    """Upsample a map pixel by pixel: pixel centres are half a pixel in, and the border is repeated."""
    rows, columns = values.shape

    def ends(place: int, target: int, source: int) -> tuple[int, int, float]:
        at = max((place + 0.5) * source / target - 0.5, 0.0)
        low = min(math.floor(at), source - 1)
        return low, min(low + 1, source - 1), at - low

    result = []
    for i in range(height):
        top, bottom, down = ends(i, height, rows)
        line = []
        for j in range(width):
            left, right, across = ends(j, width, columns)
            upper = (1 - across) * float(values[top, left]) + across * float(values[top, right])
            lower = (1 - across) * float(values[bottom, left]) + across * float(values[bottom, right])
            line.append((1 - down) * upper + down * lower)
        result.append(line)
    return result


@pytest.mark.parametrize("size", [(12, 9), (4, 6), (4, 3), (2, 2)])
def test_masks_are_those_of_sampled_maps(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 2, 4, 3, generator=generator)
    thresholds = torch.tensor([0.1, -0.2])
    masks = unit_masks(maps, thresholds, size)
    assert masks.shape == (3, 2, *size)
    for image in range(3):
        for unit in range(2):
            scaled = sampled(maps[image, unit], *size)
            wanted = [[value > float(thresholds[unit]) for value in line] for line in scaled]
            assert masks[image, unit].tolist() == wanted


@pytest.mark.parametrize("side", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [(7, 7), (32, 32), (50, 113)])
def test_a_plateau_at_the_threshold_is_a_plateau(side: int, size: tuple[int, int]) -> None:
    # As a saturated ReLU6's: interpolation rounds (1 - t) v + t v to a neighbour of v on some pixels.
    values = torch.rand(500, generator=torch.Generator().manual_seed(1)) * 6
    maps = values[None, :, None, None].expand(1, 500, side, side)
    assert not unit_masks(maps, values, size).any()
    assert unit_masks(maps, values, size, strict=False).all()


def test_nothing_exceeds_the_maximum() -> None:
    maps = torch.rand(4, 50, 5, 5, generator=torch.Generator().manual_seed(2)).mul(12).clamp(max=5.3)
    maxima = maps.amax((0, 2, 3))
    assert not unit_masks(maps, maxima, (33, 29)).any()


def test_memory_format_and_neighbours_change_nothing() -> None:
    maps = torch.randn(5, 8, 6, 6, generator=torch.Generator().manual_seed(3))
    thresholds = maps.flatten(2).median(2).values.median(0).values
    masks = unit_masks(maps, thresholds, (20, 20))
    assert torch.equal(unit_masks(maps.contiguous(memory_format=torch.channels_last), thresholds, (20, 20)), masks)
    assert torch.equal(unit_masks(maps[3:4], thresholds, (20, 20)), masks[3:4])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.rand(2, 3, 4), r"activations must be \(N, K, h, w\), got \(2, 3, 4\): name another layer"),
        (torch.full((1, 1, 2, 2), torch.nan), "activations hold nan or infinity"),
        (torch.tensor([[[[0.0, torch.inf]]]]), "activations hold nan or infinity"),
    ],
)
def test_what_is_not_allowed_is_named(values: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unit_masks(values, torch.zeros(values.shape[1]), (4, 4))


def test_masks_of_maps_with_gradients_after_those_in_inference_mode() -> None:
    maps = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(4))
    thresholds = torch.full((3,), 0.5)
    with torch.inference_mode():
        wanted = unit_masks(maps, thresholds, (11, 13))
    assert torch.equal(unit_masks(maps.clone().requires_grad_(), thresholds, (11, 13)), wanted)
