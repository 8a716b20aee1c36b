"""Tests of the figure of units in image pairs: what is drawn is what the file says."""

from types import ModuleType

import numpy as np
import pytest

from advscope.report.masked_picture import segmented, show_share
from advscope.report.unit_example_figure import UNITS, unit_example_figure


def test_each_unit_is_a_column_with_its_name_role_masks_and_shares(dissected: ModuleType) -> None:
    found = dissected.make_examples()
    figure = unit_example_figure(found, "title")
    assert figure.get_suptitle() == "title"
    blocks = figure.subfigs
    assert [block.get_suptitle().split(":")[0] for block in blocks] == ["image 3", "image 3", "image 6", "image 6"]
    assert all("table lamp \N{RIGHTWARDS ARROW} studio couch, day bed" in block.get_suptitle() for block in blocks)
    drawn = [(pair, place) for pair in range(2) for place in range(7)]
    for pair, chunk, block in ((0, range(3), 0), (0, range(3, 7), 1), (1, range(3), 2), (1, range(3, 7), 3)):
        axes = np.array(blocks[block].axes).reshape(2, 5)
        np.testing.assert_allclose(np.asarray(axes[0, 0].images[0].get_array()), found.images[pair].transpose(1, 2, 0))
        assert (axes[0, 0].get_title(), axes[1, 0].get_title()) == ("x", "x'")
        for column, place in enumerate(chunk, start=1):
            pictures = ((found.images, found.masks), (found.adversarials, found.adversarial_masks))
            for axis, (images, masks) in zip(axes[:, column], pictures, strict=True):
                expected = segmented(images[pair], masks[pair, place]).transpose(1, 2, 0)
                np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), expected)
                assert axis.get_title() == show_share(masks[pair, place])
            said = "\n".join(text.get_text() for text in axes[0, column].texts)
            assert f"{found.layers[place]} {found.units[place]}" in said
            assert f"{found.concepts[place]}-{found.categories[place]}" in said.replace("\n", " ")
            role = str(found.roles[place])
            assert (role in said) == (role != "detector")
            drawn.remove((pair, place))
        for axis in axes[:, len(chunk) + 1 :].flatten():
            assert not axis.images
    assert not drawn


def test_units_are_spread_over_blocks_that_a_page_holds(dissected: ModuleType) -> None:
    found = dissected.make_examples()
    wide = found._replace(
        **{name: np.repeat(getattr(found, name), 3, axis=axis) for name, axis in (
            ("masks", 1), ("adversarial_masks", 1), ("layers", 0), ("units", 0), ("concepts", 0), ("categories", 0),
            ("roles", 0))}
    )  # fmt: skip
    figure = unit_example_figure(wide, examples=1)
    assert [sum(bool(axis.texts) for axis in block.axes) for block in figure.subfigs] == [4, 4, 4, 4, 5]
    assert figure.get_suptitle().endswith("(1 of 2 image pairs)")
    assert max(len(block.axes) for block in figure.subfigs) == 2 * (UNITS + 1)


def test_long_names_keep_to_their_column(dissected: ModuleType) -> None:
    found = dissected.make_examples()
    concepts = np.array(["a concept whose name goes on and on for ever", *found.concepts[1:]])
    figure = unit_example_figure(found._replace(concepts=concepts), examples=1)
    said = next(axis.texts[-1].get_text() for axis in figure.subfigs[0].axes if axis.texts)
    assert max(map(len, said.split("\n"))) <= 16
    assert "\N{HORIZONTAL ELLIPSIS}" in said


def test_what_cannot_be_drawn_is_refused(dissected: ModuleType) -> None:
    found = dissected.make_examples()
    with pytest.raises(ValueError, match="no image pair or no unit; evaluate on images that the attack succeeds on"):
        unit_example_figure(found._replace(images=found.images[:0]))
    with pytest.raises(ValueError, match="1 or 3 channels to be drawn, got 2"):
        unit_example_figure(found._replace(images=found.images[:, :2]))
