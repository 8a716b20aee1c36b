"""Tests of the figures of IS: by attack and explainer, against the quantile, and beside its controls."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from advscope.intervals import mean
from advscope.measures import InterpretabilityScore
from advscope.measures.interpretability_score import suffix
from advscope.report import save_figure
from advscope.report.control_figure import control_figure
from advscope.report.quantile_figure import quantile_figure
from advscope.report.row_values import AttackedRows
from advscope.report.score_columns import ScoreColumn, score_column, score_columns
from advscope.report.score_figure import score_figure

ATTACKS = ("cw", "ead", "pgd")


def make_columns(n: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows of three attacks; every fourth image is not attacked, and has numbers all the same."""
    random = np.random.default_rng(seed)
    size = n * len(ATTACKS)
    columns: dict[str, np.ndarray] = {
        "index": np.tile(np.arange(n), len(ATTACKS)),
        "attack": np.repeat(ATTACKS, n),
        "attacked": np.tile(np.arange(n) % 4 > 0, len(ATTACKS)),
    }
    for pair in ("adversarial", "clean"):
        for place, explainer in enumerate(("", "_gradcam")):
            columns[f"is/score_{pair}{explainer}"] = random.uniform(0.5, 0.9, size)
            columns[f"is/chance_{pair}{explainer}"] = np.full(size, 0.5 + 0.04 * place)
        for percent in (60, 80):
            columns[f"is/score_{pair}_at_{percent}"] = random.uniform(0.5, 0.9, size)
            columns[f"is/chance_{pair}_at_{percent}"] = np.full(size, np.sqrt(1 - percent / 100))
        for control in ("noise", "shuffled"):
            columns[f"is/score_{pair}_{control}"] = random.uniform(0.4, 0.6, size)
    columns["is/score_adversarial"][1] = np.nan
    return columns


def of(columns: dict[str, np.ndarray], attack: str, name: str) -> np.ndarray:
    """The defined values of an attack's attacked images, one row at a time."""
    found = []
    for place in range(len(columns["attack"])):
        value = columns[name][place]
        if columns["attack"][place] == attack and columns["attacked"][place] and value == value:
            found.append(value)
    return np.array(found)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def ends(lines: Any) -> list[list[tuple[float, float]]]:
    """The end points of the segments of a collection."""
    return [[tuple(point) for point in segment] for segment in lines.get_segments()]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("is/score_clean", ("score", "clean", "", "", None)),
        ("is/excess_adversarial_gradcam", ("excess", "adversarial", "gradcam", "", None)),
        ("is/mask_share_clean_grad_cam_pp_at_65", ("mask_share", "clean", "grad_cam_pp", "", 65.0)),
        ("is/chance_adversarial_at_62.5", ("chance", "adversarial", "", "", 62.5)),
        ("is/score_clean_shuffled_cells", ("score", "clean", "", "shuffled_cells", None)),
        ("is/score_clean_noise_gradcam_at_80", ("score", "clean", "gradcam", "noise", 80.0)),
        ("is/score", None),
        ("psr/score_clean", None),
    ],
)
def test_a_column_says_what_it_holds(name: str, expected: tuple[Any, ...] | None) -> None:
    found = score_column(name)
    assert found == (None if expected is None else ScoreColumn(*expected))
    assert found is None or found.name == name


def test_the_chance_level_of_a_control_is_that_of_its_mask() -> None:
    assert ScoreColumn("score", "clean", "gradcam", "noise", 60.0).chance() == "is/chance_clean_gradcam_at_60"
    assert [column.name for column in score_columns(["index", "is/chance_clean", "is/score_clean"])] == [
        "is/score_clean"
    ]


def test_rows_are_those_of_the_attacked_images() -> None:
    columns = make_columns()
    rows = AttackedRows(columns)
    assert rows.attacks == list(ATTACKS)
    for attack in ATTACKS:
        values = rows.values(attack, "is/score_adversarial")
        np.testing.assert_array_equal(values.defined, of(columns, attack, "is/score_adversarial"))
        assert values.undefined == (1 if attack == "cw" else 0)
    assert not rows.has("cw", "is/nothing")
    assert AttackedRows({}).attacks == []
    # The mean is the one that the summary has.
    found = of(columns, "ead", "is/score_clean")
    assert rows.values("ead", "is/score_clean").estimate() == mean(found.sum(), (found**2).sum(), len(found))


def test_boxes_are_quartiles_and_whiskers_5_and_95_percent() -> None:
    columns = make_columns()

    figure = score_figure(columns, "demo", "CAM")

    for axis, pair in zip(figure.axes, ("adversarial", "clean"), strict=True):
        boxes = [patch for patch in axis.patches if isinstance(patch, matplotlib.patches.PathPatch)]
        assert len(boxes) == 6  # 3 attacks, 2 explainers: first all of one explainer
        medians = [line for line in axis.lines if line.get_color() == "black" and len(line.get_xdata()) == 2]
        for place, (box, median) in enumerate(zip(boxes, medians, strict=True)):
            explainer, attack = ("", "_gradcam")[place // 3], ATTACKS[place % 3]
            values = of(columns, attack, f"is/score_{pair}{explainer}")
            heights = box.get_path().vertices[:, 1]
            np.testing.assert_allclose([heights.min(), heights.max()], np.quantile(values, [0.25, 0.75]))
            np.testing.assert_allclose(median.get_ydata(), np.median(values))
            whiskers = [y for line in axis.lines for y in line.get_ydata()]
            for end in np.quantile(values, [0.05, 0.95]):
                assert np.min(np.abs(np.array(whiskers) - end)) < 1e-12


def test_every_panel_names_and_draws_the_chance_level_and_n() -> None:
    columns = make_columns()

    figure = score_figure(columns, "demo", "CAM")

    above, below = figure.axes
    assert above.get_title() == "Map F(x', t): chance 0.500 to 0.540"
    assert below.get_title() == "Map F(x, t0): chance 0.500 to 0.540"
    for axis in (above, below):
        dotted = [lines for lines in axis.collections if lines.get_linestyle()[0][1] is not None]
        levels = sorted(segment[0][1] for lines in dotted for segment in ends(lines))
        np.testing.assert_allclose(levels, [0.5] * 3 + [0.54] * 3)
        assert "chance" in [text.get_text() for text in axis.texts]
    # 30 of 40 images are attacked; of cw's, one score is undefined.
    assert [label.get_text() for label in above.get_xticklabels()] == [
        "cw\nn = 29 to 30\nundefined:\n0 to 1", "ead\nn = 30", "pgd\nn = 30"
    ]  # fmt: skip
    assert [label.get_text() for label in below.get_xticklabels()] == [f"{attack}\nn = 30" for attack in ATTACKS]
    assert {"CAM", "gradcam"} <= set(texts(figure))


def test_rows_of_one_map_and_without_chance_are_drawn() -> None:
    columns = {name: values for name, values in make_columns().items() if "is/" not in name or name == "is/score_clean"}
    (axis,) = score_figure(columns).axes
    assert axis.get_title() == "Map F(x, t0): chance unknown"


def test_order_of_rows_does_not_matter() -> None:
    columns = make_columns()
    order = np.random.default_rng(1).permutation(len(columns["index"]))
    one, other = (score_figure(found) for found in (columns, {name: column[order] for name, column in columns.items()}))
    for here, there in zip(one.axes, other.axes, strict=True):
        for line, twin in zip(here.lines, there.lines, strict=True):
            np.testing.assert_allclose(line.get_ydata(), twin.get_ydata(), rtol=1e-12)


def test_means_of_quantiles_stand_at_their_quantile_with_interval_and_chance() -> None:
    columns = make_columns()

    figure = quantile_figure(columns, 70, "demo", "CAM")

    above, below = figure.axes
    for axis, pair in ((above, "adversarial"), (below, "clean")):
        lines = [line for line in axis.lines if line.get_linestyle() == "-"]
        for attack, line, bars in zip(ATTACKS, lines, axis.collections, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [60, 70, 80])
            for place, behind in enumerate(("_at_60", "", "_at_80")):
                values = of(columns, attack, f"is/score_{pair}{behind}")
                assert line.get_ydata()[place] == pytest.approx(values.mean())
                half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
                (_, low), (_, high) = ends(bars)[place]
                assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-4)
        chance = [line for line in axis.lines if line.get_linestyle() == ":"]
        np.testing.assert_allclose(chance[0].get_ydata(), [np.sqrt(0.4), 0.5, np.sqrt(0.2)])
    assert "demo (n = 29 to 30; bars: 95% intervals)" in texts(figure)
    assert "chance" in texts(figure)


def test_a_quantile_that_is_named_takes_the_place_of_the_monitors_own() -> None:
    columns = make_columns()
    above = quantile_figure(columns, 60).axes[0]
    line = next(line for line in above.lines if line.get_linestyle() == "-")
    np.testing.assert_array_equal(line.get_xdata(), [60, 80])
    assert line.get_ydata()[0] == pytest.approx(of(columns, "cw", "is/score_adversarial_at_60").mean())


def test_controls_stand_beside_the_attack_with_the_chance_level() -> None:
    columns = make_columns()

    figure = control_figure(columns)

    for axis, pair in zip(figure.axes, ("adversarial", "clean"), strict=True):
        for line, control in zip(axis.lines, ("", "_noise", "_shuffled"), strict=True):
            expected = [of(columns, attack, f"is/score_{pair}{control}").mean() for attack in ATTACKS]
            np.testing.assert_allclose(line.get_ydata(), expected)
        assert axis.get_title().endswith("chance 0.500")
    assert {"attack", "random, same norm", "shuffled pixels", "chance"} <= set(texts(figure))


def test_refusals_say_which_column_is_missing() -> None:
    columns = {name: values for name, values in make_columns().items() if "is/" not in name}
    with pytest.raises(ValueError, match=r"no IS \(is/score_adversarial\); add callbacks.InterpretabilityMonitor"):
        score_figure(columns)
    with pytest.raises(ValueError, match="no IS at a further quantile"):
        quantile_figure(columns | {"is/score_clean": make_columns()["is/score_clean"]})
    with pytest.raises(ValueError, match="no IS of a control"):
        control_figure(columns)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["one image", "no image of one attack", "no chance", "one value"])
@pytest.mark.parametrize("draw", [score_figure, quantile_figure, control_figure])
def test_odd_rows_are_drawn_without_a_warning(draw: Any, kind: str, tmp_path: Path) -> None:
    columns = make_columns()
    if kind == "one image":
        columns["attacked"] = columns["index"] == 3
    if kind == "no image of one attack":
        columns["attacked"] &= columns["attack"] != "ead"
    if kind == "no chance":
        columns = {name: values for name, values in columns.items() if "chance" not in name}
    if kind == "one value":
        columns |= {name: np.full_like(values, 0.5) for name, values in columns.items() if "is/" in name}
    figure = draw(columns)
    save_figure(figure, tmp_path / "one.png")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    if kind == "no image of one attack" and draw is not quantile_figure:
        assert [label.split("\n")[0] for label in labels] == ["cw", "pgd"]
    if kind == "one image" and draw is score_figure:
        # The mean of one image has no interval, and is drawn all the same.
        assert labels == [f"{attack}\nn = 1" for attack in ATTACKS]
        assert {line.get_marker() for line in figure.axes[0].lines} >= {"o", "s"}


def test_every_column_of_the_measure_is_understood():
    """Those that the measure itself names, with every control, explainer and quantile."""
    controls = ("noise", "shuffled", "shuffled_cells")
    explainers, quantiles = ("", "grad_cam_pp", "smooth_grad"), (None, 0.6, 0.8)
    suffixes = [suffix(explainer, quantile) for explainer in explainers for quantile in quantiles]
    metric = InterpretabilityScore(suffixes, controls)
    found = [score_column(f"is/{name}") for name in metric.quantities]
    assert [column.name for column in found] == [f"is/{name}" for name in metric.quantities]
    assert {(column.explainer, column.percent) for column in found} == {
        (explainer, percent) for explainer in explainers for percent in (None, 60.0, 80.0)
    }
    assert {column.control for column in found} == {"", *controls}
    assert all(column.field == "score" for column in found if column.control)
