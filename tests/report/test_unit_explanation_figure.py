"""Tests of dissection, class activation maps and PSR side by side."""

from types import ModuleType

import numpy as np
import pytest

from advscope.report.figure_style import CELL_CLASSES
from advscope.report.masked_picture import segmented
from advscope.report.unit_explanation_figure import strongest_unit, unit_explanation_figure


def test_the_strongest_unit_changes_most_in_its_roles_direction(dissected: ModuleType) -> None:
    found = dissected.make_examples()
    # A second one, whose mask stays as it is.
    found = found._replace(roles=np.array(["suppressed", *found.roles[1:]]))
    for pair in range(2):
        grown = [
            (int(found.adversarial_masks[pair, place].sum()) - int(found.masks[pair, place].sum()), place)
            for place in range(7)
        ]
        promoted = max(change for change in grown if found.roles[change[1]] == "promoted")[1]
        assert strongest_unit(found, pair, "promoted") == promoted
        assert strongest_unit(found, pair, "suppressed") == 4
    assert strongest_unit(found._replace(roles=np.array(["detector"] * 7)), 0, "promoted") is None


def test_above_is_what_goes_and_below_what_comes(dissected: ModuleType) -> None:
    found = dissected.make_examples()
    figure = unit_explanation_figure(found, examples=1)
    (block,) = figure.subfigs
    axes = np.array(block.axes[:8]).reshape(2, 4)
    for row, role, maps, title in (
        (axes[0], "suppressed", found.map_true, "F(x, table lamp)"),
        (axes[1], "promoted", found.map_target, "F(x', studio couch)"),
    ):
        place = strongest_unit(found, 0, role)
        pictures = ((found.images, found.masks), (found.adversarials, found.adversarial_masks))
        for axis, (images, masks) in zip(row[:2], pictures, strict=True):
            expected = segmented(images[0], masks[0, place]).transpose(1, 2, 0)
            np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), expected)
        assert role in row[1].get_xlabel()
        assert row[0].get_xlabel().startswith(f"{found.layers[place]} {found.units[place]}")
        assert row[2].get_title() == title
        for axis in row[2:]:
            np.testing.assert_array_equal(np.asarray(axis.images[0].get_array()), maps[0])
        filled = {patches.get_label(): len(patches.get_paths()) for patches in row[3].collections}
        assert filled == {
            kind.name: int((found.cell_classes[0] == number).sum()) for number, kind in enumerate(CELL_CLASSES)
        }
    # One scale for both maps.
    assert axes[0, 2].images[0].get_clim() == axes[1, 2].images[0].get_clim()
    assert figure.get_suptitle().endswith("(1 of 2 image pairs)")


def test_without_maps_cells_lie_over_the_brightness_and_without_cells_maps_stand_alone(dissected: ModuleType) -> None:
    found = dissected.make_examples()
    bare = unit_explanation_figure(found._replace(map_true=None, map_target=None), examples=1)
    axes = np.array(bare.subfigs[0].axes).reshape(2, 4)
    np.testing.assert_allclose(np.asarray(axes[1, 3].images[0].get_array()), found.adversarials[0].mean(0), rtol=1e-5)
    assert not axes[0, 2].images
    assert axes[0, 3].collections
    maps = unit_explanation_figure(found._replace(cells=None, cell_classes=None), examples=1)
    axes = np.array(maps.subfigs[0].axes[:8]).reshape(2, 4)
    assert axes[0, 2].images
    assert not axes[0, 3].images
    assert not maps.legends


def test_without_either_it_is_refused(dissected: ModuleType) -> None:
    found = dissected.make_examples()._replace(map_true=None, map_target=None, cells=None, cell_classes=None)
    with pytest.raises(ValueError, match="neither class activation maps nor PSR; the network needs a class head"):
        unit_explanation_figure(found)
