"""The activation bias, layer by layer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.intervals import Estimate
from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, LINE_STYLES, WIDTH, style, write_heading
from advscope.report.summary import estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Mapping[str, Mapping[str, Estimate]]
"""For each layer, from input to output, the figures ``relative`` and ``raw``."""

_PANELS = {
    "relative": "relative bias\n\N{DOUBLE VERTICAL LINE}a(x')\N{MINUS SIGN}a(x)\N{DOUBLE VERTICAL LINE} / "
    "\N{DOUBLE VERTICAL LINE}a(x)\N{DOUBLE VERTICAL LINE}",
    "raw": "raw bias\n\N{DOUBLE VERTICAL LINE}a(x')\N{MINUS SIGN}a(x)\N{DOUBLE VERTICAL LINE}",
}


def bias_curve(
    figures: Mapping[str, Mapping[str, Any] | Estimate],
    attack: str,
    order: Iterable[str] = (),
    stage: str = "test",
    control: str = "",
) -> dict[str, dict[str, Estimate]]:
    """Return the figures ``{stage}/{attack}/bias/{layer}/relative`` and ``raw`` by layer.

    Args:
        figures: Figures by log key, as in a summary.
        attack: Name of the attack.
        order: Layer names from input to output, or columns ``bias/{layer}/relative`` of the per-image rows: a summary
            sorts its keys, so it does not know. Layers that it leaves out follow in the order of ``figures``.
        stage: First part of the keys.
        control: Name of a control perturbation, whose figures ``relative_{control}`` and ``raw_{control}`` are returned
            instead, as ``relative`` and ``raw``; empty for the attack's own.
    """
    prefix = f"{stage}/{attack}/bias/"
    wanted = {f"{quantity}_{control}" if control else quantity: quantity for quantity in _PANELS}
    curve: dict[str, dict[str, Estimate]] = {}
    for key, fields in figures.items():
        layer, _, quantity = key.removeprefix(prefix).rpartition("/")
        if key.startswith(prefix) and quantity in wanted:
            curve.setdefault(layer, {})[wanted[quantity]] = estimate(fields)
    names = [name.removeprefix("bias/").rpartition("/")[0] if name.startswith("bias/") else name for name in order]
    return {layer: curve[layer] for layer in dict.fromkeys([*names, *curve]) if layer in curve}


def bias_figure(curves: Mapping[str, Curve], title: str = "") -> "Figure":
    """Draw the relative and the raw bias by layer, with bands of their 95% intervals.

    Args:
        curves: For each line's name (an attack, or a run) its figures, as :func:`bias_curve` returns them.
        title: What stands before the number of images.

    Returns:
        A figure without a window. Layers stand in the order in which the curves name them; a layer that a curve does
        not have leaves a gap in it, as does a figure that is nan.

    Raises:
        ValueError: If no curve has a layer.
    """
    from matplotlib.figure import Figure

    layers = merged_layers([list(curve) for curve in curves.values()])
    if not layers:
        raise ValueError("the figures hold no activation bias; add callbacks.ActivationBiasMonitor to the evaluation")
    panels = [
        name for name in _PANELS if any(name in figures for curve in curves.values() for figures in curve.values())
    ]
    counts = {figure.n for curve in curves.values() for figures in curve.values() for figure in figures.values()}
    number = f"n = {min(counts)}" if len(counts) == 1 else f"n = {min(counts)} to {max(counts)}"
    with style():
        figure = Figure(figsize=(WIDTH, 1.2 + 2.3 * len(panels)), layout="constrained")
        write_heading(figure, f"{title or 'Activation bias by layer'} ({number}; bands: 95% intervals)")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, quantity in zip(axes, panels, strict=True):
            for position, (name, curve) in enumerate(curves.items()):
                _draw_line(axis, name, [curve.get(layer, {}).get(quantity) for layer in layers], position)
            axis.set_ylabel(_PANELS[quantity])
            axis.grid(axis="y")
            if quantity == "raw" and _spread(curves) > 30:
                axis.set_yscale("log")
            else:
                axis.set_ylim(0, axis.get_ylim()[1])
        axes[-1].set_xticks(range(len(layers)), layers, rotation=50, ha="right", rotation_mode="anchor")
        axes[-1].set_xlim(-0.5, len(layers) - 0.5)
        axes[-1].set_xlabel("layer, from input to output")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(curves)))
    return figure


def _draw_line(axis: Any, name: str, figures: Sequence[Estimate | None], position: int) -> None:
    """Draw one line and its band."""
    values, lows, highs = (
        np.array([np.nan if figure is None else figure[column] for figure in figures]) for column in range(3)
    )
    colour = LINE_COLOURS[position % len(LINE_COLOURS)]
    places = np.arange(len(figures))
    axis.fill_between(places, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axis.plot(
        places,
        values,
        color=colour,
        marker=LINE_MARKERS[position % len(LINE_MARKERS)],
        linestyle=LINE_STYLES[position % len(LINE_STYLES)],
        markersize=5,
        linewidth=1.5,
        label=name,
    )


def merged_layers(orders: list[list[str]]) -> list[str]:
    """Return all layers in one order: a layer that only a later curve has stands behind its neighbour there."""
    merged: list[str] = []
    for order in orders:
        place = 0
        for layer in order:
            if layer in merged:
                place = merged.index(layer) + 1
            else:
                merged.insert(place, layer)
                place += 1
    return merged


def _spread(curves: Mapping[str, Curve]) -> float:
    """Return the largest over the smallest raw bias, 1 where one is 0 or undefined throughout."""
    values = [figures["raw"].value for curve in curves.values() for figures in curve.values() if "raw" in figures]
    positive = [value for value in values if value > 0]
    return max(positive) / min(positive) if positive and not any(value == 0 for value in values) else 1.0
