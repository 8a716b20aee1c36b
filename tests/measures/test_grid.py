"""The grid of cells, against a loop."""

import numpy as np
import pytest
import torch

from advscope.measures import cell_norms, grid_cells


def test_cells_run_row_by_row_and_the_last_are_clipped():
    # 5 x 7 pixels, cells of 3: rows 0-3, 3-5; columns 0-3, 3-6, 6-7.
    assert grid_cells(5, 7, 3).tolist() == [
        [0, 0, 3, 3], [0, 3, 3, 6], [0, 6, 3, 7],
        [3, 0, 5, 3], [3, 3, 5, 6], [3, 6, 5, 7],
    ]  # fmt: skip


def test_the_papers_grid_has_529_cells():
    assert len(grid_cells(299, 299, 13)) == 529  # 299 = 13 * 23
    assert len(grid_cells(224, 224, 13)) == 18**2  # 224 = 13 * 17 + 3
    assert len(grid_cells(32, 32, 4)) == 64


def test_overlapping_windows_stop_at_the_border():
    # Windows of 4 at 0, 2, 4: the last ends at 8 and is clipped to 7; a window at 6 would add nothing.
    cells = grid_cells(4, 7, 4, stride=2)
    assert cells.tolist() == [[0, 0, 4, 4], [0, 2, 4, 6], [0, 4, 4, 7]]


@pytest.mark.parametrize(
    ("height", "width", "size", "stride"), [(5, 9, 2, None), (7, 3, 5, 3), (8, 8, 3, 1), (2, 3, 4, 4)]
)
def test_every_pixel_is_covered_and_by_default_once(height, width, size, stride):
    covered = np.zeros((height, width), int)
    for top, left, bottom, right in grid_cells(height, width, size, stride).tolist():
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    assert stride is not None or covered.max() == 1


@pytest.mark.parametrize(("size", "stride"), [(3, None), (3, 2), (4, 1), (20, None)])
def test_norms_equal_a_loop_over_the_cells(size, stride):
    perturbations = torch.randn(2, 3, 7, 10, generator=torch.Generator().manual_seed(0))
    euclidean, largest = cell_norms(perturbations, size, stride)
    for place, (top, left, bottom, right) in enumerate(grid_cells(7, 10, size, stride).tolist()):
        patch = perturbations[:, :, top:bottom, left:right].double().numpy().reshape(2, -1)
        assert np.allclose(euclidean[:, place], np.sqrt((patch**2).sum(1)), rtol=1e-12)
        assert np.array_equal(largest[:, place], np.abs(patch).max(1))


@pytest.mark.parametrize(
    ("size", "stride", "message"),
    [(0, None, "cell_size must be at least 1, got 0"), (2, 3, "stride must be in 1"), (2, 0, "stride must be in 1")],
)
def test_refuses_sizes_that_leave_pixels_out(size, stride, message):
    with pytest.raises(ValueError, match=message):
        grid_cells(8, 8, size, stride)
    with pytest.raises(ValueError, match=message):
        cell_norms(torch.zeros(1, 1, 8, 8), size, stride)
