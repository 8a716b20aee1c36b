"""Tests of segmented images."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from advscope.report.masked_picture import DARKNESS, at_image_size, draw_segmented, segmented, show_share


@pytest.mark.parametrize("sizes", [(2, 8), (4, 4), (3, 7), (7, 3), (1, 5)])
def test_each_pixel_takes_the_nearest_position_of_the_mask(sizes: tuple[int, int]) -> None:
    small, large = sizes
    mask = np.random.default_rng(small).random((small, small + 1)) < 0.5
    found = at_image_size(mask, (3, large, large + 2))
    assert found.shape == (large, large + 2)
    for row in range(large):
        for column in range(large + 2):
            place = int((row + 0.5) * small / large), int((column + 0.5) * (small + 1) / (large + 2))
            assert found[row, column] == mask[place]


def test_inside_stays_as_it_is_and_outside_is_darkened() -> None:
    image = np.random.default_rng(0).random((3, 4, 4))
    mask = np.array([[True, False], [False, True]])
    found = segmented(image, mask)
    np.testing.assert_array_equal(found[:, :2, :2], image[:, :2, :2])
    np.testing.assert_array_equal(found[:, 2:, 2:], image[:, 2:, 2:])
    np.testing.assert_allclose(found[:, :2, 2:], DARKNESS * image[:, :2, 2:])


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    axis = Figure().subplots()
    draw_segmented(axis, np.full((3, *mask.shape), 0.5), mask, "title")
    assert axis.get_title() == "title"
    assert axis.get_xlim() == (0, mask.shape[1])
    assert axis.get_ylim() == (mask.shape[0], 0)
    return [path.vertices for lines in axis.collections for path in lines.get_paths() if len(path.vertices)]


def test_the_outline_lies_between_inside_and_outside_and_closes_at_the_edge() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:8] = True  # up to the right edge
    below, above = outlines(mask)
    np.testing.assert_array_equal(below, above)
    assert (below[:, 0].min(), below[:, 1].min(), below[:, 1].max()) == (3, 2, 5)
    assert below[:, 0].max() <= 8
    np.testing.assert_array_equal(below[0], below[-1])


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_of_all_or_nothing_has_no_outline(value: bool) -> None:
    assert not outlines(np.full((4, 4), value))


def test_a_share_is_never_nothing_where_there_is_some() -> None:
    assert show_share(np.ones((2, 2))) == "100.0%"
    assert show_share(np.arange(10_000) == 0) == "<0.1%"
    assert show_share(np.zeros(5)) == "0%"
