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
"""For each layer, from input to output, the figures ``relative`` and ``raw``, and where the control ran
``relative_noise`` and ``raw_noise``: what random noise of the same norm does."""

_PANELS = {
    "relative": "relative bias\n\N{DOUBLE VERTICAL LINE}a(x')\N{MINUS SIGN}a(x)\N{DOUBLE VERTICAL LINE} / "
    "\N{DOUBLE VERTICAL LINE}a(x)\N{DOUBLE VERTICAL LINE}",
    "raw": "raw bias\n\N{DOUBLE VERTICAL LINE}a(x')\N{MINUS SIGN}a(x)\N{DOUBLE VERTICAL LINE}",
}

_NOISE = "_noise"


def bias_curve(
    figures: Mapping[str, Mapping[str, Any] | Estimate], attack: str, order: Iterable[str] = (), stage: str = "test"
) -> dict[str, dict[str, Estimate]]:
    """Return the figures ``{stage}/{attack}/bias/{layer}/relative`` and ``raw`` by layer, and those of noise.

    Args:
        figures: Figures by log key, as in a summary.
        attack: Name of the attack.
        order: Layer names from input to output, or columns ``bias/{layer}/relative`` of the per-image rows: a summary
            sorts its keys, so it does not know. Layers that it leaves out follow in the order of ``figures``.
        stage: First part of the keys.
    """
    prefix = f"{stage}/{attack}/bias/"
    curve: dict[str, dict[str, Estimate]] = {}
    for key, fields in figures.items():
        layer, _, quantity = key.removeprefix(prefix).rpartition("/")
        if key.startswith(prefix) and quantity.removesuffix(_NOISE) in _PANELS:
            curve.setdefault(layer, {})[quantity] = estimate(fields)
    names = [name.removeprefix("bias/").rpartition("/")[0] if name.startswith("bias/") else name for name in order]
    return {layer: curve[layer] for layer in dict.fromkeys([*names, *curve]) if layer in curve}


def bias_figure(curves: Mapping[str, Curve], title: str = "") -> "Figure":
    """Draw the relative and the raw bias by layer, with bands of their 95% intervals.

    Where the control ran, a dashed line without marks in the same colour is the bias of noise of the same norm.

    Args:
        curves: For each line's name (an attack, a run, or an attack of a run) its figures, as :func:`bias_curve`
            returns them.
        title: What stands before the number of images.

    Returns:
        A figure without a window. Layers stand in the order in which the curves name them; a layer that a curve does
        not have leaves a gap in it, as does a figure that is nan.

    Raises:
        ValueError: If no curve has a layer.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figure A8.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    layers = merged_layers([list(curve) for curve in curves.values()])
    if not layers:
        raise ValueError("the figures hold no activation bias; add callbacks.ActivationBiasMonitor to the evaluation")
    panels = [
        name for name in _PANELS if any(name in figures for curve in curves.values() for figures in curve.values())
    ]
    noise = any(name.endswith(_NOISE) for curve in curves.values() for figures in curve.values() for name in figures)
    counts = {figure.n for curve in curves.values() for figures in curve.values() for figure in figures.values()}
    number = f"n = {min(counts)}" if len(counts) == 1 else f"n = {min(counts)} to {max(counts)}"
    with style():
        figure = Figure(figsize=(WIDTH, 1.2 + 2.3 * len(panels)), layout="constrained")
        write_heading(figure, f"{title or 'Activation bias by layer'} ({number}; bands: 95% intervals)")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, quantity in zip(axes, panels, strict=True):
            for position, (name, curve) in enumerate(curves.items()):
                # A dashed line is noise, where there is some; marks alone tell the others apart.
                dash = "-" if noise else LINE_STYLES[position % len(LINE_STYLES)]
                marker = LINE_MARKERS[(position + position // len(LINE_COLOURS)) % len(LINE_MARKERS)]
                drawn = [(quantity, name, dash, marker)]
                if any(f"{quantity}{_NOISE}" in figures for figures in curve.values()):
                    drawn.append((f"{quantity}{_NOISE}", "", "--", ""))
                for which, label, line, mark in drawn:
                    figures = [curve.get(layer, {}).get(which) for layer in layers]
                    _draw_line(axis, label, figures, LINE_COLOURS[position % len(LINE_COLOURS)], line, mark)
            axis.set_ylabel(_PANELS[quantity])
            axis.grid(axis="y")
            if quantity == "raw" and _spread(curves) > 30:
                axis.set_yscale("log")
            else:
                axis.set_ylim(0, axis.get_ylim()[1])
        axes[-1].set_xticks(range(len(layers)), layers, rotation=50, ha="right", rotation_mode="anchor")
        axes[-1].set_xlim(-0.5, len(layers) - 0.5)
        axes[-1].set_xlabel("layer, from input to output")
        handles, labels = axes[0].get_legend_handles_labels()
        if noise:
            handles.append(Line2D([], [], color="#555555", linestyle="--", linewidth=1.2))
            labels.append("random noise of the same norm")
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(handles)))
    return figure


def _draw_line(axis: Any, name: str, figures: Sequence[Estimate | None], colour: str, dash: str, marker: str) -> None:
    """Draw one line and its band; a line without a name stands in no legend."""
    values, lows, highs = (
        np.array([np.nan if figure is None else figure[column] for figure in figures]) for column in range(3)
    )
    places = np.arange(len(figures))
    axis.fill_between(places, lows, highs, color=colour, alpha=0.2, linewidth=0)
    axis.plot(
        places,
        values,
        color=colour,
        marker=marker,
        linestyle=dash,
        markersize=5,
        linewidth=1.5 if marker else 1.2,
        label=name or None,
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
    values = [
        figure.value
        for curve in curves.values()
        for figures in curve.values()
        for name, figure in figures.items()
        if name.removesuffix(_NOISE) == "raw"
    ]
    positive = [value for value in values if value > 0]
    return max(positive) / min(positive) if positive and not any(value == 0 for value in values) else 1.0
