"""Whether sensitive units are more interpretable than random ones: p by layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.bias_figure import merged_layers
from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, WIDTH, style, write_heading
from advscope.tables.csv_table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 0.05
"""Below it a p-value counts as significant, plain or corrected."""

TESTS = {"p": "p_corrected", "p_matched": "p_matched_corrected"}
"""The columns of p-values, each with that of its corrected ones."""

_TEST_NAMES = {"p": "beside random units", "p_matched": "beside area-matched units"}
_UNIT_NAMES = {0: "all units", 1: "regular units"}


def table_layers(tables: Mapping[str, Table]) -> list[str]:
    """Return the names of all layers in one order."""
    return merged_layers([list(dict.fromkeys(table["layer"].tolist())) for table in tables.values()])


def layer_values(
    table: Table, layers: list[str], top: int, regular: int, test: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the p-values of one N by layer, and which of them stay below 0.05 when corrected.

    Args:
        table: As :func:`~advscope.tables.read_significances` returns it.
        layers: Names of the layers.
        top: N, the number of most sensitive units.
        regular: 1 for regular units alone, else 0.
        test: ``p`` or ``p_matched``.

    Returns:
        Two arrays with one entry per layer; p is nan where the table has no such row or the test is undefined.
    """
    values, holds = np.full(len(layers), np.nan), np.zeros(len(layers), dtype=bool)
    for row in np.flatnonzero((table["top"] == top) & (table["regular"] == regular)):
        place = layers.index(str(table["layer"][row]))
        values[place] = table[test][row]
        holds[place] = table[TESTS[test]][row] < LEVEL
    return values, holds


def significance_figure(tables: Mapping[str, Table], title: str = "") -> "Figure":
    """Draw the p-values of the top N sensitive units by layer, one line per N.

    The left panels compare with random units, the right ones with random units matched for the area of their masks;
    above stand all units, below regular ones alone. A filled mark stays below 0.05 when corrected over all layers and
    N, a hollow one does not. The dotted line is 0.05.

    Args:
        tables: For each run's name its table, as :func:`~advscope.tables.read_significances` returns
            it; each has rows of panels of its own.
        title: What stands over the panels.

    Returns:
        A figure without a window. What is undefined is left out and counted in the panel's title; a p of 0, which
        enumeration alone can give, stands at the lower edge.

    Raises:
        ValueError: If there are no rows.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figure 7a.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    tops = sorted({int(top) for table in tables.values() for top in table["top"]})
    if not tops:
        raise ValueError("the table of p-values holds no rows; add callbacks.DissectionMonitor to the evaluation")
    floor = _floor(tables)
    rows = [(run, regular) for run, table in tables.items() for regular in sorted(set(table["regular"].tolist()))]
    images = {int(number) for table in tables.values() for number in table["images"]}
    number = f"n = {min(images)}" if len(images) == 1 else f"n = {min(images)} to {max(images)}"
    layers = {run: table_layers({run: table}) for run, table in tables.items()}
    last = {run: max(place for place, (other, _) in enumerate(rows) if other == run) for run in tables}
    with style():
        figure = Figure(figsize=(WIDTH, 1.6 + 2.0 * len(rows) + 0.5 * (len(tables) - 1)), layout="constrained")
        what = title or "Are sensitive units more interpretable than others?"
        write_heading(figure, f"{what} ({number} attacked images)")
        axes = figure.subplots(len(rows), len(TESTS), squeeze=False, sharey=True)
        for place, (run, regular) in enumerate(rows):
            for axis, test in zip(axes[place], TESTS, strict=True):
                name = f"{run}, {_UNIT_NAMES[regular]}" if len(tables) > 1 else _UNIT_NAMES[regular]
                _draw_panel(axis, tables[run], layers[run], tops, (regular, test, floor))
                axis.set_title(f"{name} {_TEST_NAMES[test]}{_left_out(tables[run], regular, test)}", fontsize=8.5,
                               wrap=True)  # fmt: skip
                shown = layers[run] if place == last[run] else [""] * len(layers[run])
                axis.set_xticks(range(len(layers[run])), shown, rotation=50, ha="right", rotation_mode="anchor")
            axes[place, 0].set_ylabel("p")
        handles: list[Any] = [
            Line2D([], [], color=_colour(position), marker=_marker(position), label=f"N = {top}", markersize=5)
            for position, top in enumerate(tops)
        ]
        handles.append(Line2D([], [], color="#555555", linestyle=":", label=f"p = {LEVEL}"))
        for fill, said in (
            ("#333333", "corrected p < 0.05"),
            ("white", "corrected p \N{GREATER-THAN OR EQUAL TO} 0.05"),
        ):
            handles.append(Line2D([], [], color="#333333", linestyle="", marker="o", markerfacecolor=fill, label=said))
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
    return figure


def _draw_panel(axis: Any, table: Table, layers: list[str], tops: list[int], which: tuple[int, str, float]) -> None:
    """Draw the lines of one test over one choice of units."""
    regular, test, floor = which
    axis.axhline(LEVEL, color="#555555", linestyle=":", linewidth=1)
    for position, top in enumerate(tops):
        values, holds = layer_values(table, layers, top, regular, test)
        drawn = np.where(values <= 0, floor, values)
        colour, marker = _colour(position), _marker(position)
        # Beside each other: with many draws the lowest p of several N is the same.
        places = np.arange(len(layers)) + 0.09 * (position - (len(tops) - 1) / 2)
        axis.plot(places, drawn, color=colour, linewidth=0.9, alpha=0.7, label=f"N = {top}")
        for fill, chosen in ((colour, holds), ("white", ~holds)):
            points = np.where(chosen, drawn, np.nan)
            axis.plot(places, points, color=colour, linestyle="", marker=marker, markersize=5, markerfacecolor=fill)
    axis.set_yscale("log")
    axis.set_ylim(floor * 0.7, 1.5)
    axis.set_xlim(-0.5, len(layers) - 0.5)
    axis.grid(axis="y")


def _left_out(table: Table, regular: int, test: str) -> str:
    """Say how many p-values are undefined."""
    missing = int(np.isnan(table[test][table["regular"] == regular]).sum())
    return f"\n{missing} undefined" if missing else ""


def _floor(tables: Mapping[str, Table]) -> float:
    """Return the lowest p that is drawn."""
    values = np.concatenate([table[test] for table in tables.values() for test in TESTS])
    positive = values[values > 0]
    return min(0.01, float(positive.min()) if len(positive) else 1.0)


def _colour(position: int) -> str:
    return LINE_COLOURS[position % len(LINE_COLOURS)]


def _marker(position: int) -> str:
    return LINE_MARKERS[position % len(LINE_MARKERS)]
