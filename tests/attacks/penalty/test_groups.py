"""Tests of square groups of pixels."""

import math

import pytest
import torch

from advscope.attacks.penalty.groups import Groups, GroupSize
from advscope.measures import cell_norms, grid_cells

GRIDS = [(4, 4, 2, 2), (5, 7, 2, 2), (5, 5, 3, 2), (6, 5, 4, 1), (7, 7, 7, 7), (5, 4, 1, 1), (7, 5, 5, 3), (9, 6, 4, 3)]


@pytest.mark.parametrize(("height", "width", "cell_size", "stride"), GRIDS)
def test_are_the_windows_of_the_promotion_suppression_ratio(height, width, cell_size, stride):
    values = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups, cells = Groups(cell_size, stride), grid_cells(height, width, cell_size, stride).tolist()
    copies, norms, counts = groups.copies(values), groups.norms(groups.copies(values)), torch.zeros(height, width)
    assert copies.shape == (2, 3 * cell_size**2, len(cells))
    for place, (top, left, bottom, right) in enumerate(cells):
        window = torch.zeros(2, 3, cell_size, cell_size, dtype=torch.float64)
        window[:, :, : bottom - top, : right - left] = values[:, :, top:bottom, left:right]
        assert torch.equal(copies[:, :, place], window.flatten(1))
        counts[top:bottom, left:right] += 1
    torch.testing.assert_close(norms[:, 0], cell_norms(values, cell_size, stride)[0], rtol=1e-14, atol=0)
    assert torch.equal(groups.counts(values), counts.double().expand(1, 3, -1, -1))
    assert groups.overlap == (stride < cell_size)


@pytest.mark.parametrize(("height", "width", "cell_size", "stride"), GRIDS)
def test_totals_are_the_adjoint_of_copies(height, width, cell_size, stride):
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    groups = Groups(cell_size, stride)
    copies = groups.copies(values)
    others = torch.randn(copies.shape, generator=generator, dtype=torch.float64)
    back = groups.totals(others, values.shape)
    assert back.shape == values.shape
    torch.testing.assert_close((copies * others).sum(), (values * back).sum(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("height", "width", "cell_size", "stride"), GRIDS)
def test_the_value_equals_a_loop_over_the_cells(height, width, cell_size, stride):
    values = torch.randn(3, 2, height, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values[1] = 0
    found = GroupSize(Groups(cell_size, stride), l2=0.7, lasso=1.3).value(values)
    for row in range(3):
        wanted = 0.7 * sum(value**2 for value in values[row].flatten().tolist())
        for top, left, bottom, right in grid_cells(height, width, cell_size, stride).tolist():
            window = values[row, :, top:bottom, left:right].flatten().tolist()
            wanted += 1.3 * math.sqrt(sum(value**2 for value in window))
        assert found[row].item() == pytest.approx(wanted, rel=1e-12)
    assert found[1] == 0
