"""Tests of the figure of the four maps."""

from itertools import pairwise
from types import ModuleType

import matplotlib
import numpy as np
import pytest

from advscope.report.map_figure import explainers_of, map_figure

KINDS = ("clean_label", "adversarial_label", "clean_target", "adversarial_target")


def with_gradcam(results: ModuleType, examples: int = 3) -> dict[str, np.ndarray]:
    arrays = results.make_arrays(seed=0, examples=examples, attacks=("pgd20",))
    return arrays | {f"pgd20/is/gradcam_{kind}": 2 - 3 * arrays[f"pgd20/is/cam_{kind}"] for kind in KINDS}


def test_explainers_are_those_with_all_four_maps_the_main_one_first(results: ModuleType) -> None:
    arrays = with_gradcam(results) | {"pgd20/is/aaa_clean_label": np.zeros((3, 32, 32))}
    assert explainers_of(arrays, "pgd20") == ["cam", "gradcam"]
    # The name of one attack may begin that of another.
    assert explainers_of(arrays, "pgd") == []


@pytest.mark.parametrize("explainer", ["cam", "gradcam"])
def test_each_row_has_the_image_and_its_maps_at_one_scale(results: ModuleType, explainer: str) -> None:
    arrays = with_gradcam(results)

    figure = map_figure(arrays, "pgd20", explainer, results.CLASSES, attacked=7)

    axes = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert len(axes) == 15
    assert len(figure.axes) == 18
    for position in range(3):
        row = axes[5 * position : 5 * position + 5]
        label, target = (results.CLASSES[arrays[f"pgd20/{name}"][position]] for name in ("labels", "targets"))
        assert [axis.get_title() for axis in row] == [
            f"image {3 * position + 3}", f"F(x, {label})", f"F(x', {label})", f"F(x, {target})", f"F(x', {target})"
        ]  # fmt: skip
        np.testing.assert_array_equal(row[0].images[0].get_array(), arrays["pgd20/images"][position].transpose(1, 2, 0))
        maps = [arrays[f"pgd20/is/{explainer}_{kind}"][position] for kind in KINDS]
        for axis, expected in zip(row[1:], maps, strict=True):
            np.testing.assert_array_equal(axis.images[0].get_array(), expected)
            assert axis.images[0].get_clim() == (np.min(maps), np.max(maps))
    heading = figure.get_suptitle()
    assert "3 examples of 7 attacked images" in heading
    assert ("gradcam" in heading) == (explainer == "gradcam")


def test_undefined_maps_are_drawn_as_such(results: ModuleType) -> None:
    arrays = with_gradcam(results, examples=1)
    arrays["pgd20/is/cam_clean_label"][0, :, :16] = np.nan

    axis = map_figure(arrays, "pgd20").axes[1]

    assert axis.images[0].get_array().mask[:, :16].all()
    assert not axis.images[0].get_array().mask[:, 16:].any()
    assert np.isfinite(axis.images[0].get_clim()).all()


def test_long_class_names_do_not_meet(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=2, attacks=("pgd20",))
    figure = map_figure(arrays, "pgd20", class_names=["Japanese spaniel", "desktop computer"] * 3)
    figure.draw_without_rendering()
    boxes = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    for one, other in pairwise(boxes):
        assert not one.overlaps(other)


def test_draws_as_many_as_are_asked_for(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=3, attacks=("pgd20",))
    assert len(map_figure(arrays, "pgd20", examples=2).findobj(matplotlib.image.AxesImage)) == 10


def test_refusals_say_what_there_is(results: ModuleType) -> None:
    arrays = with_gradcam(results)
    with pytest.raises(ValueError, match=r"of explainer 'lime' for attack 'pgd20'; it has those of cam, gradcam"):
        map_figure(arrays, "pgd20", "lime")
    with pytest.raises(ValueError, match=r"for attack 'cw'; add callbacks.InterpretabilityMonitor"):
        map_figure(arrays, "cw")
