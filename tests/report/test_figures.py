"""Tests of the figures: what stands in them, and that odd input is drawn too."""

import io
import math
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from advscope.intervals import Estimate
from advscope.report import (
    accuracy_figure,
    bias_curve,
    bias_figure,
    cell_figure,
    evaluation_figures,
    example_figure,
    ratio_figure,
    read_summary,
    save_figure,
)
from advscope.report.box_groups import draw_boxes
from advscope.report.correlation_figure import correlation_figure
from advscope.report.figure_style import CELL_CLASSES, classify
from advscope.report.map_figure import map_figure
from advscope.report.row_values import Values

NAN = math.nan


def pixels(figure: Figure) -> np.ndarray:
    """Draw a figure as the user gets it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return np.asarray(Image.open(buffer).convert("RGB"))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_classes_part_at_one_and_leave_out_what_is_undefined() -> None:
    # r = -1 and r = 1 are balanced still; nan and the insignificant cell belong nowhere.
    ratios = np.array([-1.5, -1.0, 0.0, 1.0, 1.5, NAN, 3.0])
    significant = np.array([True] * 6 + [False])
    suppression, promotion, balance = classify(ratios, significant)
    assert suppression.nonzero()[0].tolist() == [0]
    assert promotion.nonzero()[0].tolist() == [4]
    assert balance.nonzero()[0].tolist() == [1, 2, 3]


def test_classes_are_told_apart_in_grey() -> None:
    # ITU-R 601 brightness, as a grey printer has it.
    grey = sorted(np.dot(matplotlib.colors.to_rgb(kind.colour), (0.299, 0.587, 0.114)) for kind in CELL_CLASSES)
    assert min(np.diff(grey)) > 0.05
    assert len({kind.marker for kind in CELL_CLASSES}) == 3


def odd(results: ModuleType, kind: str) -> dict[str, Any]:
    """Arrays of one image, of which something is degenerate."""
    arrays: dict[str, Any] = results.make_arrays(seed=0, examples=1)
    if kind == "constant maps":
        arrays |= {name: np.zeros_like(array) for name, array in arrays.items() if "/is/" in name}
    if kind == "no significant cell":
        arrays["pgd20/psr/significant"] = np.zeros_like(arrays["pgd20/psr/significant"])
    if kind == "undefined ratios":
        arrays["pgd20/psr/ratio"] = np.full_like(arrays["pgd20/psr/ratio"], NAN)
    if kind == "no perturbation":
        arrays["pgd20/adversarials"] = arrays["pgd20/images"].copy()
    if kind == "grey images":
        arrays |= {f"pgd20/{name}": arrays[f"pgd20/{name}"][:, :1] for name in ("images", "adversarials")}
    return arrays


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "kind", ["constant maps", "no significant cell", "undefined ratios", "no perturbation", "grey images", "one image"]
)
def test_odd_input_is_drawn_without_a_warning(results: ModuleType, kind: str) -> None:
    arrays = odd(results, kind)
    kinds = (example_figure, map_figure, ratio_figure, cell_figure, correlation_figure)
    for figure in (draw(arrays, "pgd20") for draw in kinds):
        assert pixels(figure).std() > 0


def test_ratio_figure_has_a_sorted_curve_per_image_and_the_two_lines(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=3)
    arrays["pgd20/psr/significant"][2] = False

    figure = ratio_figure(arrays, "pgd20")

    (axis,) = figure.axes
    curves = [line for line in axis.lines if line.get_linestyle() != "--"]
    assert len(curves) == 2
    for place, curve in enumerate(curves):
        expected = np.sort(arrays["pgd20/psr/ratio"][place][arrays["pgd20/psr/significant"][place]])
        np.testing.assert_array_equal(curve.get_ydata(), expected)
    assert sorted(line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == "--") == [-1, 1]
    cells = int(arrays["pgd20/psr/significant"].sum())
    assert axis.get_title() == (
        f"pgd20: PSR of {cells} significant cells in 2 images, 1 more without a significant cell"
    )


def test_ratio_figure_of_many_images_shows_their_pool(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=9)
    (axis,) = ratio_figure(arrays, "pgd20").axes
    pool = axis.lines[-3] if axis.lines[-1].get_linestyle() == "--" else axis.lines[-1]
    expected = np.sort(arrays["pgd20/psr/ratio"][arrays["pgd20/psr/significant"]])
    np.testing.assert_array_equal(pool.get_ydata(), expected)


def test_ratio_figure_names_shares(results: ModuleType) -> None:
    # Of four significant cells one is below -1, two above 1, one between.
    arrays = results.make_arrays(seed=0, examples=1)
    arrays["pgd20/psr/significant"][:] = False
    arrays["pgd20/psr/significant"][0, :4] = True
    arrays["pgd20/psr/ratio"][0, :4] = [-3, 2, 2, 0]
    assert {"suppression 25%", "promotion 50%", "balance 25%"} <= set(texts(ratio_figure(arrays, "pgd20")))


def test_cell_figure_has_the_same_order_in_every_panel(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=2)
    chosen = np.flatnonzero(arrays["pgd20/psr/significant"][1])
    order = chosen[np.argsort(arrays["pgd20/psr/ratio"][1][chosen])]

    adversarial, field, above, middle, below, last = [
        axis
        for block in cell_figure(arrays, "pgd20", 1).subfigs
        for axis in block.axes
        if axis.get_label() != "<colorbar>"
    ]

    assert sum(len(marks.get_offsets()) for marks in above.collections) == len(order)
    np.testing.assert_array_equal(middle.lines[0].get_ydata(), arrays["pgd20/psr/suppression"][1][order])
    np.testing.assert_array_equal(middle.lines[1].get_ydata(), arrays["pgd20/psr/promotion"][1][order])
    perturbation = arrays["pgd20/adversarials"][1] - arrays["pgd20/images"][1]
    # 8 x 8 cells of 4 pixels, row by row.
    parts = {
        (row, column): perturbation[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        for row in range(8)
        for column in range(8)
    }
    inside = [parts[divmod(int(cell), 8)] for cell in order]
    norms = [np.linalg.norm(part) for part in inside]
    np.testing.assert_allclose([bar.get_height() for bar in below.patches], norms, rtol=1e-5)
    np.testing.assert_allclose([bar.get_height() for bar in last.patches], [np.abs(part).max() for part in inside])
    # The heat map above has every cell, significant or not, where it lies in the image.
    np.testing.assert_array_equal(adversarial.images[0].get_array(), arrays["pgd20/adversarials"][1].transpose(1, 2, 0))
    for (row, column), part in parts.items():
        shown = field.images[0].get_array()[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        np.testing.assert_allclose(shown, np.linalg.norm(part), rtol=1e-5)


def test_bias_curve_takes_the_order_of_the_columns(runs: tuple[Path, Path]) -> None:
    figures = read_summary(runs[0] / "results/standard/summary.json")["figures"]
    columns = [f"bias/{layer}/{name}" for layer in ("stem", "layer2", "layer10", "fc") for name in ("relative", "raw")]

    curve = bias_curve(figures, "fgsm", ["index", "is/score_clean", *columns])

    assert list(curve) == ["stem", "layer2", "layer10", "fc"]
    assert curve["fc"]["raw"] == Estimate(**figures["test/fgsm/bias/fc/raw"])
    # A summary's own order is alphabetical.
    assert list(bias_curve(figures, "fgsm")) == ["fc", "layer10", "layer2", "stem"]


def estimates(values: dict[str, float]) -> dict[str, dict[str, Estimate]]:
    return {
        layer: {
            "relative": Estimate(value, value - 0.1, value + 0.1, 9),
            "raw": Estimate(9 * value, value, 10 * value, 9),
        }
        for layer, value in values.items()
    }


def test_bias_figure_has_a_line_per_curve_and_a_gap_where_a_layer_is_missing() -> None:
    figure = bias_figure(
        {"one": estimates({"a": 0.1, "b": 0.2, "c": 0.3}), "two": estimates({"a": 0.4, "c": NAN, "d": 1})}
    )

    relative, raw = figure.axes
    assert [label.get_text() for label in raw.get_xticklabels()] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(relative.lines[0].get_ydata(), [0.1, 0.2, 0.3, NAN])
    np.testing.assert_array_equal(relative.lines[1].get_ydata(), [0.4, NAN, NAN, 1.0])
    assert len(relative.collections) == len(raw.collections) == 2
    assert relative.lines[0].get_marker() != relative.lines[1].get_marker()
    assert relative.lines[0].get_linestyle() != relative.lines[1].get_linestyle()
    assert any("n = 9" in text for text in texts(figure))
    assert pixels(figure).std() > 0


def test_the_noise_control_has_lines_of_its_own(results: ModuleType) -> None:
    figures = results.make_summary("demo", results.make_rows(0))["figures"]
    without = evaluation_figures("demo", figures, {})["bias"]
    noise = {
        f"{key}_noise": Estimate(number / 100, 0, 1, 9)
        for number, key in enumerate(key for key in figures if key.startswith("test/fgsm/bias/"))
    }

    curve = bias_curve(noise | figures, "fgsm", control="noise")

    assert curve["fc"]["raw"] == noise["test/fgsm/bias/fc/raw_noise"]
    assert curve["fc"]["relative"] == noise["test/fgsm/bias/fc/relative_noise"]
    assert bias_curve(noise | figures, "fgsm") == bias_curve(figures, "fgsm")
    figure = evaluation_figures("demo", figures | noise, {})["bias"]
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[1].lines}
    before = {line.get_label(): line.get_ydata().tolist() for line in without.axes[1].lines}
    assert list(lines) == [*before, "fgsm: noise of its size"]
    assert {label: lines[label] for label in before} == before
    assert lines["fgsm: noise of its size"] == [curve[layer]["raw"].value for layer in bias_curve(figures, "fgsm")]


def test_bias_figure_of_undefined_figures_alone_is_drawn() -> None:
    assert pixels(bias_figure({"one": estimates({"a": NAN, "b": NAN})})).std() > 0


def test_accuracy_figure_has_a_mark_and_a_number_per_run_and_attack(runs: tuple[Path, Path]) -> None:
    figures = [read_summary(run / "results/standard/summary.json")["figures"] for run in runs]

    figure = accuracy_figure(dict(zip(("natural", "madry"), figures, strict=True)))

    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["clean", "fgsm", "pgd20", "all attacks"]
    keys = ["clean/accuracy", "fgsm/robust_accuracy", "pgd20/robust_accuracy", "all/robust_accuracy"]
    for marks, found in zip(axis.lines, figures, strict=True):
        assert list(marks.get_xdata()) == [found[f"test/{key}"]["value"] for key in keys]
    assert f"{figures[0]['test/clean/accuracy']['value']:.1%}" in texts(figure)
    assert len([text for text in axis.texts if text.get_text().endswith("%")]) == 8
    assert any("n = 60" in text for text in texts(figure))


def test_text_is_at_least_eight_points_high(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=1, attacks=("fgsm",))
    figures = results.make_summary("demo", results.make_rows(0))["figures"]
    for figure in evaluation_figures("demo", figures, arrays).values():
        figure.draw_without_rendering()
        sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()]
        # An exponent of a logarithmic axis is a part of its label.
        assert min(sizes) >= 8


def test_draws_what_there_is_without_any_example(results: ModuleType) -> None:
    figures = results.make_summary("demo", results.make_rows(0))["figures"]
    assert list(evaluation_figures("demo", figures, {})) == ["accuracy", "bias"]
    assert list(evaluation_figures("demo", {}, {})) == []


def test_leaves_the_users_settings_alone(results: ModuleType, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save_figure(example_figure(results.make_arrays(seed=0, examples=1), "pgd20"), tmp_path / "one.png")
    assert dict(matplotlib.rcParams) == before


def test_writes_the_same_picture_whatever_the_users_settings(results: ModuleType, tmp_path: Path) -> None:
    arrays = results.make_arrays(seed=0, examples=1)
    save_figure(ratio_figure(arrays, "pgd20"), tmp_path / "one.png")
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "lines.linewidth": 9}):
        save_figure(ratio_figure(arrays, "pgd20"), tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_refusals_say_what_is_missing(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0)
    without = {name: array for name, array in arrays.items() if "/psr/" not in name}
    with pytest.raises(ValueError, match="hold no example of attack 'cw'"):
        example_figure(arrays, "cw")
    with pytest.raises(ValueError, match=r"hold no PSR of attack 'pgd20'; add callbacks.PromotionSuppressionMonitor"):
        ratio_figure(without, "pgd20")
    with pytest.raises(ValueError, match=r"position must be in 0 ... 2, got 3"):
        cell_figure(arrays, "pgd20", 3)
    with pytest.raises(ValueError, match="hold no activation bias"):
        bias_figure({"one": {}})
    with pytest.raises(ValueError, match="hold no accuracy"):
        accuracy_figure({"one": {}})
    many = {name: np.repeat(array, 2, 1) if "images" in name else array for name, array in arrays.items()}
    with pytest.raises(ValueError, match="1 or 3 channels to be drawn, got 6"):
        example_figure(many, "pgd20")


def test_long_names_stay_within_the_figure_and_apart(results: ModuleType) -> None:
    """ImageNet's names, of which some are as long as a figure is wide, and a run's name that is longer."""
    names = ["seashore, coast, seacoast, sea-coast", "black-and-tan coonhound", "studio couch, day bed"] * 2
    arrays = results.make_arrays(seed=0, examples=1, attacks=("pgd20",))
    summary = results.make_summary("demo", results.make_rows(0))
    figure = example_figure(arrays, "pgd20", names)
    figure.draw_without_rendering()
    axes = [axis for axis in figure.subfigs[0].axes if axis.get_title()]
    for row in (axes[:4], axes[4:]):
        for one, other in pairwise(axis.title.get_window_extent() for axis in row):
            assert one.x1 < other.x0
    run = accuracy_figure({"run": summary["figures"]}, "imagenet_resnet50_natural-mobilenet_v2_dequantised " * 3)
    for drawn in (figure, run):
        drawn.draw_without_rendering()
        extent = drawn._suptitle.get_window_extent()  # type: ignore[union-attr]
        assert extent.x0 >= 0
        assert extent.x1 <= drawn.bbox.width
    assert "(n = 60;" in run.get_suptitle().replace("\n", " ")
    assert not run.get_suptitle().endswith("n =")


def test_labels_below_many_attacks_are_slanted_and_whole() -> None:
    groups = {f"attack{number}@automobile": {"one": Values(np.ones(4000 + number), number)} for number in range(9)}
    axis = Figure(figsize=(7.2, 3)).subplots()
    draw_boxes(axis, groups, ["one"])
    labels = axis.get_xticklabels()
    assert [label.get_text() for label in labels][8] == "attack8@automobile\nn = 4008, undefined: 8"
    assert {label.get_rotation() for label in labels} == {40.0}
    few = Figure(figsize=(7.2, 3)).subplots()
    draw_boxes(few, {"cw": {"one": Values(np.ones(4), 1)}}, ["one"])
    assert {label.get_rotation() for label in few.get_xticklabels()} == {0.0}
