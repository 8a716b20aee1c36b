"""The plots of the runs' figures: accuracies, PSR shares, IS with its chance level, bias by layer."""

import math
from collections.abc import Sequence
from typing import Any

from advscope.intervals import Estimate
from advscope.report.bias_figure import bias_curve, merged_layers
from advscope.report.comparison import STAGE
from advscope.report.page.plot import Plot, by_category, describe, estimates_trace, number, plot_text
from advscope.report.page.run_style import run_style
from advscope.report.run_results import RunResults

_SHARES = ("suppression", "promotion", "balance", "inactive")
_MAPS = ("clean", "adversarial")
_NOT_NEGATIVE = {"rangemode": "tozero"}


def accuracy_plot(runs: Sequence[RunResults], attacks: Sequence[str]) -> Plot:
    """Return clean accuracy, robust accuracy under each attack, and under all where there are several."""
    keys = {"clean": f"{STAGE}/clean/accuracy"}
    keys |= {attack: f"{STAGE}/{attack}/robust_accuracy" for attack in attacks}
    if len(attacks) > 1:
        keys["all attacks"] = f"{STAGE}/all/robust_accuracy"
    return _by_run(runs, keys, "accuracy", yaxis={"title": {"text": "accuracy"}, "range": [0, 1.03]})


def share_plot(runs: Sequence[RunResults], attack: str) -> Plot | None:
    """Return the shares of the PSR classes; None where no run has them."""
    keys = {name: f"{STAGE}/{attack}/psr/{name}_share" for name in _SHARES}
    return _by_run(runs, keys, "share of cells") if _has(runs, keys) else None


def interpretability_plot(runs: Sequence[RunResults], attack: str) -> Plot | None:
    """Return IS on the clean and the adversarial map, each run's chance level a bar beside it; None without any."""
    keys = {f"{name} map": f"{STAGE}/{attack}/is/score_{name}" for name in _MAPS}
    if not _has(runs, keys):
        return None
    plot = _by_run(runs, keys, "interpretability score")
    ends = []
    for position, run in enumerate(runs):
        levels = [run.figures.get(f"{STAGE}/{attack}/is/chance_{name}") for name in _MAPS]
        trace = estimates_trace(position, run.name, list(keys), levels)
        trace |= {
            "marker": {"color": run_style(position).colour, "symbol": "line-ew-open", "size": 18, "line": {"width": 3}},
            "customdata": [["" if level is None else f"chance level {describe(level)}"] for level in levels],
        }
        plot["data"].append({name: value for name, value in trace.items() if name != "error_y"})
        figures = [*levels, *(run.figures.get(key) for key in keys.values())]
        ends += [end for figure in figures if figure is not None for end in figure[:3] if math.isfinite(end)]
    # Scores stand close to their chance level, far from 0: an axis from 0 would show neither apart.
    if ends:
        pad = 0.15 * (max(ends) - min(ends) or 0.1)
        plot["layout"]["yaxis"] |= {"range": [number(min(ends) - pad), number(max(ends) + pad)]}
    return plot


def bias_plot(runs: Sequence[RunResults], attack: str, quantity: str) -> Plot | None:
    """Return the bias by layer, from input to output; None where no run has it.

    Args:
        runs: The runs; layers that one alone has leave gaps in the others.
        attack: Name of the attack.
        quantity: ``relative`` or ``raw``.
    """
    curves = [bias_curve(run.figures, attack, run.columns, STAGE) for run in runs]
    layers = merged_layers([list(curve) for curve in curves])
    if not layers:
        return None
    traces = [
        estimates_trace(position, run.name, layers, [curve.get(layer, {}).get(quantity) for layer in layers], line=True)
        for position, (run, curve) in enumerate(zip(runs, curves, strict=True))
    ]
    axis = {"title": {"text": f"{quantity} bias"}, **_NOT_NEGATIVE}
    plot = by_category(traces, "", layers, yaxis=axis)
    # Joined marks stand above each other, so that lines do not lean.
    plot["layout"] |= {"scattermode": "overlay"}
    plot["layout"]["xaxis"] |= {"title": {"text": plot_text("layer, from input to output")}}
    return plot


def _by_run(runs: Sequence[RunResults], keys: dict[str, str], y_title: str, **settings: Any) -> Plot:
    """Return figures by their short names."""
    traces = []
    for position, run in enumerate(runs):
        figures: list[Estimate | None] = [run.figures.get(key) for key in keys.values()]
        traces.append(estimates_trace(position, run.name, list(keys), figures))
    return by_category(traces, y_title, list(keys), **settings)


def _has(runs: Sequence[RunResults], keys: dict[str, str]) -> bool:
    """Return whether a run has one of the figures."""
    return any(key in run.figures for run in runs for key in keys.values())
