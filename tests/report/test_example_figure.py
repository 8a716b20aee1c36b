"""Tests of the figure of adversarial examples."""

from types import ModuleType

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from advscope.report import example_figure
from advscope.report.figure_style import CELL_CLASSES


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_example_figure_shows_every_panel_and_mark(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=3)

    figure = example_figure(arrays, "pgd20", results.CLASSES, attacked=46)

    # Per example 4 panels above, 4 maps below and a colour bar.
    assert len(figure.findobj(matplotlib.axes.Axes)) == 3 * 9
    shown = texts(figure)
    assert "pgd20: 3 examples of 46 attacked images" in shown
    label, target = (results.CLASSES[arrays[f"pgd20/{name}"][1]] for name in ("labels", "targets"))
    assert f"image 6:  {label} \N{RIGHTWARDS ARROW} {target}" in shown
    assert "x' \N{MINUS SIGN} x, \N{PLUS-MINUS SIGN}8/255" in shown
    # Each of the four maps of an example has a mark on each significant cell, and the class panel a box.
    block = figure.subfigs[1]
    significant = int(arrays["pgd20/psr/significant"][1].sum())
    for axis in block.axes[4:8]:
        assert sum(len(marks.get_offsets()) for marks in axis.collections) == significant
    assert sum(len(boxes.get_paths()) for boxes in block.axes[3].collections) == significant


def test_example_figure_has_one_scale_for_the_four_maps(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=1)
    maps = [arrays[name] for name in arrays if name.startswith("pgd20/is/cam_")]

    figure = example_figure(arrays, "pgd20")

    limits = {axis.images[0].get_clim() for axis in figure.subfigs[0].axes[4:8]}
    assert limits == {(min(found.min() for found in maps), max(found.max() for found in maps))}


def test_example_figure_marks_the_right_cells(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=1)
    arrays["pgd20/psr/significant"][:] = False
    arrays["pgd20/psr/significant"][0, 10] = True
    arrays["pgd20/psr/ratio"][0, 10] = 5.0

    figure = example_figure(arrays, "pgd20")

    # Cell 10 of 8 x 8 cells of 4 pixels is in row 1, column 2: its middle is x = 2 * 4 + 2, y = 1 * 4 + 2.
    (marks,) = figure.subfigs[0].axes[4].collections
    assert marks.get_offsets().tolist() == [[10.0, 6.0]]
    assert matplotlib.colors.to_hex(marks.get_facecolor()[0]).upper() == CELL_CLASSES[1].colour


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
    assert ("PSR classes" in texts(figure)) == (missing == "is")
