"""Tests of top_images.npz and of the figure of it."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from advscope.report.masked_picture import segmented
from advscope.report.top_image_figure import top_image_figure
from advscope.report.top_images import TopImages, read_top_images, write_top_images


def test_comes_back_with_the_same_bytes(dissected: ModuleType, tmp_path: Path) -> None:
    images: TopImages = dissected.make_top_images()
    for name in ("one", "two"):
        write_top_images(tmp_path / f"{name}.npz", images)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    for found, given in zip(read_top_images(tmp_path / "one.npz"), images, strict=True):
        np.testing.assert_array_equal(found, given)


def test_what_does_not_fit_is_refused(dissected: ModuleType, tmp_path: Path) -> None:
    images = dissected.make_top_images()
    with pytest.raises(ValueError, match=r"bad\.npz: values must be \(U, m\) = \(3, 5\), got \(3, 4\); make it anew"):
        write_top_images(tmp_path / "bad.npz", images._replace(values=images.values[:, 1:]))
    with pytest.raises(ValueError, match="masks must be bool, got float64"):
        write_top_images(tmp_path / "bad.npz", images._replace(masks=images.masks.astype(float)))
    assert not (tmp_path / "bad.npz").exists()


def test_each_unit_is_a_row_of_its_images_dark_where_it_is_not_active(dissected: ModuleType) -> None:
    images = dissected.make_top_images()
    figure = top_image_figure(images, "title")
    assert figure.get_suptitle() == "title"
    assert [block.get_suptitle() for block in figure.subfigs] == [
        "layer10 0: red-color", "layer10 11: dots-texture", "layer10 22: wheel-part"
    ]  # fmt: skip
    for place, block in enumerate(figure.subfigs):
        assert len(block.axes) == 5
        for rank, axis in enumerate(block.axes):
            if (place, rank) == (2, 4):  # there is no such image
                assert not axis.images
                continue
            assert axis.get_title() == f"{images.values[place, rank]:.3g}"
            expected = segmented(images.images[place, rank], images.masks[place, rank]).transpose(1, 2, 0)
            np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), expected)


def test_of_many_units_the_first_are_drawn_and_it_says_so(dissected: ModuleType) -> None:
    figure = top_image_figure(dissected.make_top_images(units=14, images=9, size=8), "title")
    assert figure.get_suptitle() == "title (12 of 14 units)"
    assert {len(block.axes) for block in figure.subfigs} == {7}


def test_no_images_are_refused(dissected: ModuleType) -> None:
    images = dissected.make_top_images()
    with pytest.raises(ValueError, match="holds none; set top_images"):
        top_image_figure(TopImages(*(field[:0] for field in images)))
    with pytest.raises(ValueError, match="must have 1 or 3 channels to be drawn, got 2"):
        top_image_figure(images._replace(images=images.images[:, :, :2]))
