"""Tests of the figures of refined attacks."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from advscope.intervals import Estimate
from advscope.report import save_figure
from advscope.report.refined_figure import refined_figure, shared_examples
from advscope.report.refined_sizes_figure import refined_sizes_figure

FORMS = ("cw", "cw_s1", "cw_s2")


def make_arrays(results: ModuleType) -> dict[str, Any]:
    """Arrays of an attack and its refined forms, of which the forms share images 6 and 9 alone."""
    arrays: dict[str, Any] = results.make_arrays(seed=0, examples=3, attacks=FORMS)
    for form, indices in zip(FORMS, ([3, 6, 9], [6, 9, 12], [9, 6, 30]), strict=True):
        arrays[f"{form}/indices"] = np.array(indices)
    for place, form in enumerate(FORMS):
        change = np.zeros_like(arrays[f"{form}/images"])
        change[:, 0, place, :3] = (0.1, -0.2, 1e-8)
        arrays[f"{form}/images"] = np.full_like(change, 0.5)
        arrays[f"{form}/adversarials"] = arrays[f"{form}/images"] + change / (1 + place)
    return arrays


def test_images_are_those_that_every_form_attacked(results: ModuleType) -> None:
    arrays = make_arrays(results)
    assert shared_examples(arrays, FORMS) == [{"cw": 1, "cw_s1": 0, "cw_s2": 1}, {"cw": 2, "cw_s1": 1, "cw_s2": 0}]


def test_perturbations_stand_beside_each_other_at_one_scale_with_their_norms(results: ModuleType) -> None:
    figure = refined_figure(make_arrays(results), "cw", results.CLASSES)

    assert "2 images that all attacked" in figure.get_suptitle()
    assert len(figure.subfigs) == 2
    axes = [axis for axis in figure.subfigs[0].axes if axis.get_label() != "<colorbar>"]
    assert "perturbations at \N{PLUS-MINUS SIGN}51/255" in figure.subfigs[0].get_suptitle()
    # Changes of 1e-8 are below the threshold of l0, and part of the other norms.
    assert [axis.get_title() for axis in axes[1:4]] == [
        "original\nl0 2, l1 0.3\nl2 0.224, l\N{INFINITY} 51/255",
        "refined, S1\nl0 2, l1 0.15\nl2 0.112, l\N{INFINITY} 25.5/255",
        "refined, S2\nl0 2, l1 0.1\nl2 0.0745, l\N{INFINITY} 17/255",
    ]
    for place, axis in enumerate(axes[1:4]):
        shown = axis.images[0].get_array()
        np.testing.assert_allclose(shown[place, 1, 0], 0.5 - 0.5 / (1 + place), atol=1e-6)
        np.testing.assert_allclose(shown[place, 1, 1:], 0.5)


def test_psr_lies_over_each_forms_own_map(results: ModuleType) -> None:
    arrays = make_arrays(results)

    axes = [axis for axis in refined_figure(arrays, "cw").subfigs[1].axes if axis.get_label() != "<colorbar>"]

    for axis, form, place in zip(axes[5:], FORMS, (2, 1, 0), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), arrays[f"{form}/is/cam_adversarial_target"][place])
        boxes = sum(len(drawn.get_paths()) for drawn in axis.collections)
        assert boxes == arrays[f"{form}/psr/significant"][place].sum()
    np.testing.assert_array_equal(axes[4].images[0].get_array(), arrays["cw/is/cam_clean_label"][2])
    assert len({axis.images[0].get_clim() for axis in axes[4:]}) == 1


def test_without_maps_and_psr_there_is_one_row(results: ModuleType) -> None:
    arrays = {name: array for name, array in make_arrays(results).items() if "psr/" not in name and "/is/" not in name}
    figure = refined_figure(arrays, "cw", examples=1)
    assert len(figure.subfigs[0].axes) == 4
    assert not figure.legends


def make_figures() -> dict[str, Estimate]:
    random = np.random.default_rng(0)
    figures = {}
    for attack in ("cw", "cw_s1", "cw_s2", "str", "str_s1", "pgd"):
        for quantity in ("l0", "l1", "l2", "linf", "success_rate"):
            value = float(random.uniform(0.2, 0.9)) * (1000 if quantity == "l0" else 1)
            figures[f"test/{attack}/size/{quantity}"] = Estimate(value, 0.9 * value, 1.1 * value, 50)
    figures["test/cw/size/l0"] = Estimate(3000, 2900, 3100, 50)
    figures["test/cw_s1/size/l0"] = Estimate(20, 19, 21, 50)
    return figures


def test_sizes_stand_with_their_intervals_by_attack_and_form() -> None:
    figures = make_figures()

    figure = refined_sizes_figure(figures, "demo")

    assert figure.get_suptitle() == "demo (n = 50; bars: 95% intervals)"
    assert [text.get_text() for text in figure.legends[0].texts] == ["original", "refined, S1", "refined, S2"]
    assert [axis.get_visible() for axis in figure.axes] == [True] * 5 + [False]
    for axis, quantity in zip(figure.axes, ("l0", "l1", "l2", "linf", "success_rate"), strict=False):
        assert [label.get_text() for label in axis.get_xticklabels()] == ["cw", "str"]
        for line, bars, suffix in zip(axis.lines, axis.collections, ("", "_s1", "_s2"), strict=True):
            found = [figures.get(f"test/{attack}{suffix}/size/{quantity}") for attack in ("cw", "str")]
            there = [estimate for estimate in found if estimate is not None]
            np.testing.assert_allclose(line.get_ydata(), [estimate.value for estimate in there])
            for segment, estimate in zip(bars.get_segments(), there, strict=True):
                np.testing.assert_allclose(segment[:, 1], [estimate.low, estimate.high])
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[2].get_yscale() == "linear"
    assert figure.axes[2].get_ylim()[0] == 0


def test_refusals_say_what_is_missing(results: ModuleType) -> None:
    with pytest.raises(ValueError, match="no cw_s1 or cw_s2 beside 'cw'"):
        refined_figure(results.make_arrays(seed=0, attacks=("cw",)), "cw")
    arrays = make_arrays(results) | {"cw/indices": np.array([1, 2, 4])}
    with pytest.raises(ValueError, match="no image is an example of cw, cw_s1, cw_s2 alike; keep more examples"):
        refined_figure(arrays, "cw")
    alone = {key: value for key, value in make_figures().items() if "_s" not in key.split("/")[1]}
    with pytest.raises(ValueError, match="no sizes of an attack beside its refined form"):
        refined_sizes_figure(alone)


@pytest.mark.filterwarnings("error")
def test_an_attack_that_failed_everywhere_has_no_mark(tmp_path: Path) -> None:
    figures = make_figures()
    for quantity in ("l0", "l1", "l2", "linf"):
        figures[f"test/str_s1/size/{quantity}"] = Estimate(math.nan, math.nan, math.nan, 0)
    figure = refined_sizes_figure(figures)
    save_figure(figure, tmp_path / "one.png")
    assert figure.get_suptitle().endswith("(n = 0 to 50; bars: 95% intervals)")
    assert np.isnan(figure.axes[2].lines[1].get_ydata()[1])
