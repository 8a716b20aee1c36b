"""Tests of the figure of adversarial examples."""

from types import ModuleType

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from advscope.report import example_figure
from advscope.report.figure_style import CELL_CLASSES, CellClass


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def boxes_of(axis: matplotlib.axes.Axes) -> dict[str, list[tuple[float, ...]]]:
    """By filling colour the middles (x, y) of the cells drawn on an axis."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for drawn in axis.collections:
        middles = [tuple(path.get_extents().get_points().mean(0).round(6).tolist()) for path in drawn.get_paths()]
        found[matplotlib.colors.to_hex(drawn.get_facecolor()[0])] = middles
    return found


def test_example_figure_shows_every_panel_and_mark(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=3)

    figure = example_figure(arrays, "pgd20", results.CLASSES, attacked=46)

    # Per example 4 panels above, 4 below and a colour bar.
    assert len(figure.findobj(matplotlib.axes.Axes)) == 3 * 9
    shown = texts(figure)
    assert "pgd20: 3 examples of 46 attacked images" in shown
    label, target = (results.CLASSES[arrays[f"pgd20/{name}"][1]] for name in ("labels", "targets"))
    assert f"image 6:  {label} \N{RIGHTWARDS ARROW} {target}" in shown
    assert "x' \N{MINUS SIGN} x, \N{PLUS-MINUS SIGN}8/255" in shown
    assert {
        "suppression (r < \N{MINUS SIGN}1)",
        "promotion (r > 1)",
        "balance (|r| \N{LESS-THAN OR EQUAL TO} 1)",
    } <= set(shown)
    axes = figure.subfigs[1].axes
    assert [axis.get_title() for axis in axes[4:8]] == [
        f"F(x, {label})",
        "PSR over it",
        f"F(x', {target})",
        "PSR over it",
    ]
    np.testing.assert_array_equal(axes[4].images[0].get_array(), arrays["pgd20/is/cam_clean_label"][1])
    np.testing.assert_array_equal(axes[7].images[0].get_array(), arrays["pgd20/is/cam_adversarial_target"][1])
    # The maps beside the classes are free.
    assert [sum(map(len, boxes_of(axis).values())) for axis in (*axes[4:8],)] == [
        0, significant := int(arrays["pgd20/psr/significant"][1].sum()), 0, significant
    ]  # fmt: skip


def test_example_figure_has_one_scale_for_its_maps(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=1)
    maps = [arrays[f"pgd20/is/{name}"] for name in ("cam_clean_label", "cam_adversarial_target")]

    figure = example_figure(arrays, "pgd20")

    limits = {axis.images[0].get_clim() for axis in figure.subfigs[0].axes[4:8]}
    assert limits == {(min(found.min() for found in maps), max(found.max() for found in maps))}


@pytest.mark.parametrize("kind", CELL_CLASSES, ids=lambda kind: kind.name)
def test_example_figure_fills_the_right_cells_with_the_papers_colour(results: ModuleType, kind: CellClass) -> None:
    arrays = results.make_arrays(seed=0, examples=1)
    arrays["pgd20/psr/significant"][:] = False
    arrays["pgd20/psr/significant"][0, 10] = True
    arrays["pgd20/psr/ratio"][0, 10] = {"suppression": -5.0, "promotion": 5.0, "balance": 0.0}[kind.name]

    figure = example_figure(arrays, "pgd20")

    # Cell 10 of 8 x 8 cells of 4 pixels is in row 1, column 2: its middle is x = 2 * 4 + 2, y = 1 * 4 + 2.
    colour = {"suppression": "#ffffff", "promotion": "#000000", "balance": "#808080"}[kind.name]
    for axis in (figure.subfigs[0].axes[5], figure.subfigs[0].axes[7]):
        assert boxes_of(axis) == {colour: [(10.0, 6.0)]}


@pytest.mark.parametrize(("size", "cell"), [(32, 4), (224, 13), (299, 13)])
def test_cells_stay_within_the_image_and_apart(results: ModuleType, size: int, cell: int) -> None:
    arrays = results.make_arrays(seed=0, examples=1, size=size, cell=cell, attacks=("pgd20",))
    arrays["pgd20/psr/significant"][:] = True

    axis = example_figure(arrays, "pgd20").subfigs[0].axes[5]

    found = [path.get_extents() for drawn in axis.collections for path in drawn.get_paths()]
    across = -(-size // cell)
    assert len(found) == across**2
    assert min(box.x0 for box in found) > 0
    assert max(box.y1 for box in found) < size
    # Each covers most of its cell; clipped ones at the border too.
    wide = sorted(box.width for box in found)
    last = size - cell * (across - 1)
    np.testing.assert_allclose(wide[0] / min(cell, last), 0.88, rtol=1e-6)
    np.testing.assert_allclose(wide[-1] / cell, 0.88, rtol=1e-6)
    # A line thinner than a tenth of a cell, which is drawn some 115 points / cells wide.
    assert max(drawn.get_linewidth()[0] for drawn in axis.collections) < 0.1 * 115 * cell / size


def test_example_figure_shows_the_perturbation_at_its_scale(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=1)
    arrays["pgd20/adversarials"] = arrays["pgd20/images"].copy()
    arrays["pgd20/adversarials"][0, :, 3, 5] += 0.02
    arrays["pgd20/adversarials"][0, :, 4, 5] -= 0.01

    shown = example_figure(arrays, "pgd20").subfigs[0].axes[2].images[0].get_array()

    # Grey is no change, white the largest, half way to black half of it downwards.
    np.testing.assert_allclose(shown[0, 0], 0.5)
    np.testing.assert_allclose(shown[3, 5], 1.0, atol=1e-5)
    np.testing.assert_allclose(shown[4, 5], 0.25, atol=1e-5)


@pytest.mark.parametrize("missing", ["psr", "is", "both"])
def test_example_figure_leaves_out_what_was_not_measured(results: ModuleType, missing: str) -> None:
    names = {"psr": ("/psr/",), "is": ("/is/",), "both": ("/psr/", "/is/")}[missing]
    arrays = {
        name: array for name, array in results.make_arrays(seed=0).items() if not any(part in name for part in names)
    }

    figure = example_figure(arrays, "pgd20")

    assert len(figure.findobj(matplotlib.axes.Axes)) == 3 * (9 if missing == "psr" else 4)
    assert ("PSR over brightness" in texts(figure)) == (missing == "is")
    assert any("promotion" in text for text in texts(figure)) == (missing == "is")
