"""What becomes of accuracy when units are masked: a line per run and order."""

from collections.abc import Sequence
from typing import Any

from advscope.intervals import Estimate
from advscope.report.masking_figure import ORDERS, masking_lines
from advscope.report.page.plot import describe, layout, number, plot_text
from advscope.report.page.run_style import run_style
from advscope.report.run_results import RunResults
from advscope.tables import read_masking
from advscope.tables.csv_table import Table

_DASHES = dict(zip(ORDERS, ("solid", "dash", "dot"), strict=True))
_SYMBOLS = dict(zip(ORDERS, ("circle", "square", "triangle-up"), strict=True))


def masking_of(runs: Sequence[RunResults]) -> list[Table | None]:
    """Read each run's ``masking.csv``, None where it has none.

    Raises:
        ValueError: If one is damaged.
    """
    paths = [run.results / "masking.csv" for run in runs]
    return [read_masking(path) if path.is_file() else None for path in paths]


def masking_plots(runs: Sequence[RunResults], tables: Sequence[Table | None]) -> list[dict[str, Any]]:
    """Return the plots of each layer and attack: its names, ``clean`` and ``robust`` accuracy.

    Args:
        runs: The runs; the colour of a line says which.
        tables: Their tables, as :func:`masking_of` returns them; the dash and mark of a line is an order's.
    """
    places = dict.fromkeys(
        (str(layer), str(attack))
        for table in tables
        if table is not None
        for layer, attack in zip(table["layer"], table["attack"], strict=True)
    )
    return [
        {"layer": layer, "attack": attack}
        | {kind: _plot(runs, tables, layer, attack, kind) for kind in ("clean", "robust")}
        for layer, attack in places
    ]


def _plot(
    runs: Sequence[RunResults], tables: Sequence[Table | None], layer: str, attack: str, kind: str
) -> dict[str, Any]:
    """Return one plot."""
    traces = [
        _trace(position, run.name, table, rows.tolist(), order, kind)
        for position, (run, table) in enumerate(zip(runs, tables, strict=True))
        if table is not None
        for order in ORDERS
        for rows in masking_lines(table, layer, order, attack)
    ]
    settings = {"showlegend": True, "legend": {"orientation": "h", "y": -0.22, "yanchor": "top"}}
    found = layout(f"{kind} accuracy", "masked units", **settings)
    found["yaxis"] |= {"range": [0, 1.03]}
    found["xaxis"] |= {"tickformat": "d"}
    return {"data": traces, "layout": found}


def _trace(run: int, name: str, table: Table, rows: list[int], order: str, kind: str) -> dict[str, Any]:
    """Return one line with its 95% intervals."""
    figures = []
    for row in rows:
        value, low, high = (float(table[f"{kind}_{part}"][row]) for part in ("accuracy", "low", "high"))
        figures.append(Estimate(value, low, high, int(table["images"][row])))
    colour = run_style(run).colour
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plot_text(f"{name}, {order}"),
        "meta": {"run": run},
        "x": [int(table["masked"][row]) for row in rows],
        "y": [number(figure.value) for figure in figures],
        "error_y": {
            "type": "data", "symmetric": False, "thickness": 1, "width": 3,
            "array": [number(figure.high - figure.value) for figure in figures],
            "arrayminus": [number(figure.value - figure.low) for figure in figures],
        },
        "customdata": [[describe(figure)] for figure in figures],
        "hovertemplate": "%{fullData.name}<br>%{x} masked: %{customdata[0]}<extra></extra>",
        "marker": {"color": colour, "symbol": _SYMBOLS[order], "size": 7},
        "line": {"color": colour, "dash": _DASHES[order], "width": 2},
        "cliponaxis": False,
    }  # fmt: skip
