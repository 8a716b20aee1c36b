"""The units of the networks: sensitivity against interpretability, and detectors per category."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from advscope.report.comparison_tables import show_number
from advscope.report.page.plot import Plot, by_category, layout, number, plot_text
from advscope.report.page.run_style import run_style
from advscope.report.run_results import RunResults
from advscope.tables.unit_rows import Units, read_units

EVERY_LAYER = ""
"""Stands for all layers together in :func:`detector_plots`."""


def units_of(runs: Sequence[RunResults]) -> list[Units | None]:
    """Read each run's ``units.csv``, None where it has none.

    Raises:
        ValueError: If one is damaged.
    """
    paths = [run.results / "units.csv" for run in runs]
    return [read_units(path) if path.is_file() else None for path in paths]


def layers_of(units: Sequence[Units | None]) -> list[str]:
    """Return the names of all layers, each run's in its order."""
    return list(dict.fromkeys(str(layer) for found in units if found is not None for layer in found["layer"]))


def first_shown(units: Sequence[Units | None]) -> int:
    """Return the place of the layer that is shown first: of those with the most units, the last; -1 without any.

    The very last layer has one unit per class: few, and without a map.
    """
    layers = layers_of(units)
    counts = [sum(int((found["layer"] == layer).sum()) for found in units if found is not None) for layer in layers]
    return max(range(len(layers)), key=lambda place: (counts[place], place), default=-1)


def unit_plot(runs: Sequence[RunResults], units: Sequence[Units | None]) -> Plot:
    """Return one mark per unit; a unit with one of the two undefined is left out.

    The first entry of each mark's ``customdata`` is its layer, by which the page filters.
    """
    traces = []
    for position, (run, found) in enumerate(zip(runs, units, strict=True)):
        if found is None:
            continue
        there = np.flatnonzero(~np.isnan(found["interpretability"]) & ~np.isnan(found["sensitivity"]))
        look = run_style(position)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plot_text(run.name),
                "meta": {"run": position},
                "x": [number(value) for value in found["interpretability"][there]],
                "y": [number(value) for value in found["sensitivity"][there]],
                "customdata": [_hover(found, int(unit)) for unit in there],
                "hovertemplate": (
                    "%{fullData.name}<br>%{customdata[0]}, unit %{customdata[1]}: %{customdata[2]}"
                    "<br>interpretability %{x}, sensitivity %{customdata[3]}<extra></extra>"
                ),
                "marker": {
                    "color": look.colour, "symbol": look.symbol, "size": 8, "opacity": 0.75, "line": {"width": 0.5}
                },
            }
        )  # fmt: skip
    return {"data": traces, "layout": layout("sensitivity", "interpretability")}


def detector_plots(runs: Sequence[RunResults], units: Sequence[Units | None]) -> dict[str, Plot]:
    """Return the number of detectors per category, by layer; :data:`EVERY_LAYER` is all of them.

    A count is over all units that there are and has no interval; each unit's own interval is in its hover.
    """
    categories = sorted(
        {str(name) for found in units if found is not None for name in found["category"][found["detector"]]}
    )
    plots = {}
    for layer in (EVERY_LAYER, *layers_of(units)):
        traces = []
        for position, (run, found) in enumerate(zip(runs, units, strict=True)):
            if found is None:
                continue
            here = found["layer"] == layer if layer != EVERY_LAYER else np.ones(len(found["layer"]), dtype=bool)
            counts = [int((here & found["detector"] & (found["category"] == name)).sum()) for name in categories]
            look = run_style(position)
            traces.append(
                {
                    "type": "bar",
                    "name": plot_text(run.name),
                    "meta": {"run": position},
                    "x": [plot_text(name) for name in categories],
                    "y": counts,
                    "customdata": [int(here.sum())] * len(categories),
                    "hovertemplate": (
                        "%{fullData.name}<br>%{x}: %{y} detectors among %{customdata} units<extra></extra>"
                    ),
                    "marker": {
                        "color": look.colour,
                        "pattern": {"shape": look.pattern, "fgcolor": "#ffffff", "fillmode": "overlay"},
                    },
                }
            )
        plots[layer] = by_category(traces, "detectors", categories)
        plots[layer]["layout"] |= {"barmode": "group"}
        plots[layer]["layout"]["yaxis"] |= {"tickformat": "d", "rangemode": "tozero"}
    return plots


def _hover(units: Units, place: int) -> list[Any]:
    """Return what a unit's hover says: layer, unit, best concept, sensitivity."""
    concept = str(units["concept"][place])
    said = "no concept"
    if concept:
        iou = _interval(units, "iou", place)
        detects = "detector of" if units["detector"][place] else "best concept"
        said = f"{detects} {concept} ({units['category'][place]}), IoU {iou}"
    kind = str(units["kind"][place])
    if kind != "regular":
        said += f", threshold {kind}"
    texts = (str(units["layer"][place]), str(int(units["unit"][place])), said, _interval(units, "sensitivity", place))
    return [plot_text(text) for text in texts]


def _interval(units: Units, name: str, place: int) -> str:
    """Return a unit's figure with its interval."""
    value, low, high = (float(units[column][place]) for column in (name, f"{name}_low", f"{name}_high"))
    return show_number(value) if np.isnan(low) else f"{show_number(value)} [{show_number(low)}, {show_number(high)}]"
