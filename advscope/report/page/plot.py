"""The grammar of the page's plots: traces and layouts of Plotly as plain mappings.

Plain mappings, and not Plotly's own classes: they need no import, and are the same JSON every time. Colours of text,
grid and background come from the page, which knows whether it is light or dark.
"""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from advscope.intervals import Estimate
from advscope.report.comparison_tables import show_number
from advscope.report.page.run_style import run_style

DIGITS = 6
"""Significant digits of a number in a plot."""

Plot = dict[str, Any]
"""A figure of Plotly: ``data`` and ``layout``."""


def plot_text(text: str) -> str:
    """Return a text that Plotly shows as it is: it would take tags for markup.

    Example:
        >>> plot_text("<b>conv</b>")
        '&lt;b&gt;conv&lt;/b&gt;'
    """
    return html.escape(text, quote=False)


def number(value: float) -> float | None:
    """Return a number with 6 significant digits, None where it is not finite.

    Example:
        >>> number(1 / 3), number(float("nan"))
        (0.333333, None)
    """
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def estimates_trace(
    run: int, name: str, places: Sequence[str], figures: Sequence[Estimate | None], line: bool = False
) -> dict[str, Any]:
    """Return a run's figures as marks with their 95% intervals.

    Args:
        run: Position of the run.
        name: Its name.
        places: What stands below each figure.
        figures: As many; None and nan leave a gap.
        line: Whether the marks are joined.

    Returns:
        A trace whose hover says value, interval, n and how many are undefined.
    """
    look = run_style(run)
    above, below = [], []
    for figure in figures:
        above.append(None if figure is None else number(figure.high - figure.value))
        below.append(None if figure is None else number(figure.value - figure.low))
    return {
        "type": "scatter",
        "mode": "lines+markers" if line else "markers",
        "name": plot_text(name),
        "meta": {"run": run},
        "x": [plot_text(place) for place in places],
        "y": [None if figure is None else number(figure.value) for figure in figures],
        "error_y": {
            "type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5, "width": 4
        },
        "customdata": [["" if figure is None else describe(figure)] for figure in figures],
        "hovertemplate": "%{fullData.name}<br>%{x}: %{customdata[0]}<extra></extra>",
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 10},
        "line": {"color": look.colour, "dash": look.dash, "width": 2},
        "offsetgroup": str(run),
        # A mark at 0 is drawn whole.
        "cliponaxis": False,
    }  # fmt: skip


def describe(figure: Estimate) -> str:
    """Return a figure in words.

    Example:
        >>> describe(Estimate(0.5, 0.4, 0.6, 80, 3))
        '0.500 [0.400, 0.600], n = 80, 3 undefined'
    """
    interval = "" if math.isnan(figure.low) else f" [{show_number(figure.low)}, {show_number(figure.high)}]"
    undefined = f", {figure.undefined} undefined" if figure.undefined else ""
    return f"{show_number(figure.value)}{interval}, n = {figure.n}{undefined}"


def layout(y_title: str, x_title: str = "", **settings: Any) -> dict[str, Any]:
    """Return a layout; ``settings`` are laid over it."""
    return {
        "margin": {"l": 56, "r": 12, "t": 12, "b": 48},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {"title": {"text": x_title}, "automargin": True},
        "yaxis": {"title": {"text": y_title}, "automargin": True},
    } | settings


def by_category(traces: Iterable[dict[str, Any]], y_title: str, categories: Sequence[str], **settings: Any) -> Plot:
    """Return a plot over categories, the runs' marks side by side."""
    found = layout(y_title, scattermode="group", scattergap=0.5, **settings)
    shown = [plot_text(category) for category in categories]
    # Named as categories: Plotly would read names such as 2024 or 10 as numbers.
    found["xaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": shown}
    return {"data": list(traces), "layout": found}
