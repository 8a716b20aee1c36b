"""Tests of the figures of the correlation between a cell's effect and its norm."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from advscope.report import save_figure
from advscope.report.correlation_figure import correlation_figure
from advscope.report.correlations_figure import correlations_figure

EFFECTS = ("suppression", "promotion", "score")


def make_columns(n: int = 24) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {
        "index": np.tile(np.arange(3, 3 * n + 3, 3), 2),
        "attack": np.repeat(["fgsm", "pgd20"], n),
        "attacked": np.arange(2 * n) % 3 > 0,
    }
    for effect in EFFECTS:
        for coefficient in ("pearson", "kendall"):
            columns[f"psr/{coefficient}_{effect}_l2"] = random.uniform(-0.2, 0.9, 2 * n)
    return columns


def test_boxes_of_both_coefficients_and_all_effects() -> None:
    columns = make_columns()
    # Undefined for every image of one attack, as for a saturated l-inf attack; for two of the other.
    for name in columns:
        if name.startswith("psr/"):
            columns[name][columns["attack"] == "fgsm"] = np.nan
    here = np.flatnonzero((columns["attack"] == "pgd20") & columns["attacked"])
    columns["psr/pearson_score_l2"][here[:2]] = np.nan

    figure = correlations_figure(columns, "demo")

    assert [axis.get_ylabel() for axis in figure.axes] == ["Pearson's r", "Kendall's tau-b"]
    for axis, coefficient in zip(figure.axes, ("pearson", "kendall"), strict=True):
        assert len(axis.patches) == 3
        for box, effect in zip(axis.patches, EFFECTS, strict=True):
            values = columns[f"psr/{coefficient}_{effect}_l2"][here]
            values = values[~np.isnan(values)]
            heights = box.get_path().vertices[:, 1]
            np.testing.assert_allclose([heights.min(), heights.max()], np.quantile(values, [0.25, 0.75]))
        assert "undefined" in [text.get_text() for text in axis.texts]
        assert axis.get_ylim()[0] >= -1.05
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["fgsm\nn = 0\nundefined:\n16", "pgd20\nn = 14 to 16\nundefined:\n0 to 2"]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "suppression d0", "promotion dt", "significance s"
    ]  # fmt: skip


def test_cells_stand_at_their_norm_and_significance(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=3, attacks=("pgd20",))
    perturbation = arrays["pgd20/adversarials"][1] - arrays["pgd20/images"][1]
    norms = np.array(
        [np.linalg.norm(perturbation[:, top:bottom, left:right]) for top, left, bottom, right in arrays["psr/cells"]]
    )

    figure = correlation_figure(arrays, "pgd20", class_names=results.CLASSES)

    assert [axis.get_visible() for axis in figure.axes] == [True, True, True, False]
    drawn = [collection.get_offsets() for collection in figure.axes[1].collections]
    significant = arrays["pgd20/psr/significant"][1]
    for found, chosen in zip(drawn, (significant, ~significant), strict=True):
        np.testing.assert_allclose(found[:, 0], norms[chosen], rtol=1e-5)
        np.testing.assert_array_equal(found[:, 1], arrays["pgd20/psr/score"][1][chosen])
    assert figure.axes[1].get_yscale() == "log"  # it spans a decade
    assert figure.axes[1].get_xscale() == "linear"  # and the norm of a saturated attack does not


def test_the_monitors_own_norms_are_taken_where_they_are_kept(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=1, attacks=("pgd20",))
    arrays["pgd20/psr/norm_l2"] = np.linspace(1, 2, 64)[None]
    (axis,) = correlation_figure(arrays, "pgd20").axes
    assert sorted(x for marks in axis.collections for x in marks.get_offsets()[:, 0]) == pytest.approx(
        np.linspace(1, 2, 64)
    )


def test_cells_that_have_no_place_are_counted(results: ModuleType) -> None:
    arrays = results.make_arrays(seed=0, examples=1, attacks=("pgd20",))
    arrays["pgd20/psr/norm_l2"] = np.geomspace(0.001, 1, 64)[None]
    arrays["pgd20/psr/norm_l2"][0, :5] = 0
    arrays["pgd20/psr/score"][0, 10] = np.nan

    (axis,) = correlation_figure(arrays, "pgd20").axes

    assert sum(len(marks.get_offsets()) for marks in axis.collections) == 58
    assert axis.get_xscale() == "log"
    assert "58 cells\nnot drawn: 5 unperturbed, 1 undefined" in axis.get_title()


def test_panels_name_the_images_own_correlations(results: ModuleType) -> None:
    arrays, columns = results.make_arrays(seed=0, examples=2, attacks=("pgd20",)), make_columns()
    here = (columns["attack"] == "pgd20") & (columns["index"] == 6)
    columns["psr/pearson_score_l2"][here] = 0.625
    columns["psr/kendall_score_l2"][here] = np.nan

    titles = [axis.get_title() for axis in correlation_figure(arrays, "pgd20", columns).axes]

    assert titles[1].endswith("\nPearson 0.62, Kendall undefined")
    assert "Pearson" not in correlation_figure(arrays, "pgd20").axes[1].get_title()


def test_refusals_say_which_monitor_is_missing(results: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"psr/pearson_score_l2\); add callbacks.PromotionSuppressionMonitor"):
        correlations_figure({"attack": np.array(["a"]), "attacked": np.array([True])})
    with pytest.raises(ValueError, match=r"no PSR of attack 'cw'; add callbacks.PromotionSuppressionMonitor"):
        correlation_figure(results.make_arrays(seed=0), "cw")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["no attacked image", "one image", "undefined throughout"])
def test_odd_rows_are_drawn_without_a_warning(kind: str, tmp_path: Path) -> None:
    columns = make_columns()
    if kind == "no attacked image":
        columns["attacked"][:] = False
    if kind == "one image":
        columns["attacked"] = columns["index"] == 6
    if kind == "undefined throughout":
        columns |= {name: np.full_like(values, np.nan) for name, values in columns.items() if "psr/" in name}
    figure = correlations_figure(columns)
    save_figure(figure, tmp_path / "one.png")
    label = figure.axes[0].get_xticklabels()[0].get_text()
    expected = {"no attacked image": "n = 0", "one image": "n = 1", "undefined throughout": "n = 0\nundefined:\n16"}
    assert label == f"fgsm\n{expected[kind]}"
