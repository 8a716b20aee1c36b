"""Whether sensitive units are more interpretable than random ones: p by layer, for each N and test."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from advscope.report.comparison_tables import show_number
from advscope.report.page.plot import Plot, by_category, number, plot_text
from advscope.report.page.run_style import run_style
from advscope.report.run_results import RunResults
from advscope.report.significance_figure import LEVEL, TESTS, layer_values, table_layers
from advscope.tables import read_significances
from advscope.tables.csv_table import Table


def significance_of(runs: Sequence[RunResults]) -> list[Table | None]:
    """Read each run's ``significance.csv``, None where it has none, or one without a p: where no image was attacked.

    Raises:
        ValueError: If one is damaged.
    """
    paths = [run.results / "significance.csv" for run in runs]
    tables = [read_significances(path) if path.is_file() else None for path in paths]
    return [table if shown_tops([table]) else None for table in tables]


def shown_tops(tables: Sequence[Table | None]) -> list[int]:
    """Return the numbers of top units for which some layer has a p, ascending: small layers have none for large N."""
    return sorted({
        int(top)
        for table in tables
        if table is not None
        for test in TESTS
        for top in table["top"][~np.isnan(table[test])]
    })  # fmt: skip


def significance_plots(runs: Sequence[RunResults], tables: Sequence[Table | None]) -> dict[str, Plot]:
    """Return p by layer, a line per run, for each choice of test, units and N.

    A hollow mark does not stay below 0.05 when corrected over all layers and N; what is undefined leaves a gap.

    Args:
        runs: The runs.
        tables: Their tables, as :func:`significance_of` returns them.

    Returns:
        Plots by ``"{test} {regular} {top}"``, as ``"p_matched 0 50"``.
    """
    found = {str(place): table for place, table in enumerate(tables) if table is not None}
    layers = table_layers(found)
    plots = {}
    for test in TESTS:
        for regular in (0, 1):
            for top in shown_tops(tables):
                traces = [
                    _trace(runs[int(place)].name, int(place), table, (layers, top, regular, test))
                    for place, table in found.items()
                ]
                plot = by_category(traces, "p", layers)
                plot["layout"]["yaxis"] |= {"type": "log", "exponentformat": "power", "dtick": 1}
                plot["layout"]["scattermode"] = "overlay"
                plot["layout"]["shapes"] = [
                    {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": LEVEL, "y1": LEVEL,
                     "line": {"color": "#888888", "dash": "dot", "width": 1.5}}
                ]  # fmt: skip
                plots[f"{test} {regular} {top}"] = plot
    return plots


def _trace(name: str, run: int, table: Table, which: tuple[list[str], int, int, str]) -> dict[str, Any]:
    """Return one run's line."""
    layers, top, regular, test = which
    values, holds = layer_values(table, layers, top, regular, test)
    look = run_style(run)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(name),
        "meta": {"run": run},
        "x": [plot_text(layer) for layer in layers],
        "y": [number(value) for value in values],
        "customdata": [[_said(table, layer, top, regular, test)] for layer in layers],
        "hovertemplate": "%{fullData.name}<br>%{x}: %{customdata[0]}<extra></extra>",
        "marker": {
            "color": look.colour, "size": 9, "symbol": [look.symbol + ("" if held else "-open") for held in holds]
        },
        "line": {"color": look.colour, "dash": look.dash, "width": 1.5},
        "cliponaxis": False,
    }  # fmt: skip


def _said(table: Table, layer: str, top: int, regular: int, test: str) -> str:
    """Return a p-value in words, nothing where the table has none."""
    rows = np.flatnonzero((table["layer"] == layer) & (table["top"] == top) & (table["regular"] == regular))
    if not len(rows):
        return ""
    p, corrected = (float(table[column][rows[0]]) for column in (test, TESTS[test]))
    units, images = (int(table[column][rows[0]]) for column in ("units", "images"))
    return f"p = {show_number(p)}, corrected {show_number(corrected)}; {top} of {units} units, n = {images} images"
