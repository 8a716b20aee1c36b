"""Units of dissected layers: sensitivity against interpretability, and detectors by category."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, WIDTH, style, write_heading
from advscope.tables.unit_rows import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CATEGORIES = ("object", "part", "color", "texture", "material", "scene")
"""Broden's categories, in the order in which figures show them."""

_PANELS = 6
HATCHES = ("", "////", "\\\\\\\\", "....", "xx", "--")
"""The hatching of each category's bars."""


def layers_of(units: Units) -> list[str]:
    """Return the names of the layers, from input to output."""
    return list(dict.fromkeys(str(layer) for layer in units["layer"]))


def shown_layers(units: Units, panels: int = _PANELS) -> list[str]:
    """Return at most so many layers, spread evenly from the first to the last."""
    layers = layers_of(units)
    if len(layers) <= panels:
        return layers
    return [layers[round(place)] for place in np.linspace(0, len(layers) - 1, panels)]


def sensitivity_figure(units: Units, title: str = "") -> "Figure":
    """Draw each unit's sensitivity against its interpretability, one panel per layer, at most six layers.

    A detector (IoU above 0.04) is drawn in the colour and mark of its concept's category, another unit in grey.

    Args:
        units: The per-unit table.
        title: What stands over the panels.

    Returns:
        A figure without a window. Units whose sensitivity is undefined are left out and counted in the panel's title.

    Raises:
        ValueError: If there are no units.
    """
    from matplotlib.figure import Figure

    layers = shown_layers(units)
    if not layers:
        raise ValueError("the table holds no units; add callbacks.DissectionMonitor to the evaluation")
    columns = 2 if len(layers) == 4 else min(3, len(layers))
    lines = -(-len(layers) // columns)
    with style():
        figure = Figure(figsize=(WIDTH, 0.9 + 2.3 * lines), layout="constrained")
        write_heading(figure, title or "Sensitivity against interpretability of units")
        axes = figure.subplots(lines, columns, squeeze=False).flatten()
        handles: dict[str, Any] = {}
        for axis, layer in zip(axes, layers, strict=False):
            here = units["layer"] == layer
            values, sensitivity = 100 * units["interpretability"][here], units["sensitivity"][here]
            detector, category = units["detector"][here].astype(bool), units["category"][here]
            defined = ~np.isnan(values) & ~np.isnan(sensitivity)
            for name in ("", *CATEGORIES):
                chosen = defined & (detector & (category == name) if name else ~detector)
                if chosen.any():
                    handles[name] = _scatter(axis, values[chosen], sensitivity[chosen], name)
            left_out = int((~defined).sum())
            axis.set_title(f"{layer}: {int(here.sum())} units" + (f", {left_out} undefined" if left_out else ""))
            axis.grid(True)
            axis.set_xlim(left=0)
            axis.set_ylim(bottom=0)
        for axis in axes[len(layers) :]:
            axis.set_visible(False)
        # The outermost panels alone name the axes; the legend stands where a common name would.
        for place, axis in enumerate(axes[: len(layers)]):
            if place + columns >= len(layers):
                axis.set_xlabel("mean IoU over concepts, %")
            if place % columns == 0:
                axis.set_ylabel("sensitivity, √pixels")
        names = [name for name in (*CATEGORIES, "") if name in handles]
        labels = [name or "no detector" for name in names]
        if names:
            figure.legend([handles[name] for name in names], labels, loc="outside lower center", ncols=len(names))
    return figure


def detector_figure(detectors: Mapping[str, Units], title: str = "") -> "Figure":
    """Draw the share of each layer's units that detect a concept, stacked by its category; one panel per run.

    Args:
        detectors: For each run's name its per-unit table.
        title: What stands over the panels.

    Returns:
        A figure without a window, its panels at a common scale.

    Raises:
        ValueError: If there are no units.
    """
    from matplotlib.figure import Figure

    if not any(len(units["layer"]) for units in detectors.values()):
        raise ValueError("the table holds no units; add callbacks.DissectionMonitor to the evaluation")
    with style():
        figure = Figure(figsize=(WIDTH, 1.1 + 2.2 * len(detectors)), layout="constrained")
        write_heading(figure, title or "Units that detect a concept (IoU > 0.04), by its category")
        axes = figure.subplots(len(detectors), 1, sharey=True, squeeze=False)[:, 0]
        for axis, (name, units) in zip(axes, detectors.items(), strict=True):
            layers = layers_of(units)
            floor = np.zeros(len(layers))
            for place, category in enumerate(CATEGORIES):
                shares = np.array([_share(units, layer, category) for layer in layers])
                colour = LINE_COLOURS[place % len(LINE_COLOURS)]
                axis.bar(
                    range(len(layers)), shares, bottom=floor, color=colour, hatch=HATCHES[place], label=category,
                    edgecolor="white", linewidth=0.4,
                )  # fmt: skip
                floor += shares
            axis.set_xticks(range(len(layers)), layers, rotation=50, ha="right", rotation_mode="anchor")
            axis.set_ylabel("share of units")
            axis.grid(axis="y")
            if len(detectors) > 1:
                axis.set_title(name)
        handles, labels = axes[0].get_legend_handles_labels()
        seen = {str(name) for units in detectors.values() for name in units["category"][units["detector"].astype(bool)]}
        shown = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label in seen]
        if shown:
            figure.legend(*zip(*shown, strict=True), loc="outside lower center", ncols=len(shown))
    return figure


def _scatter(axis: Any, values: NDArray[Any], sensitivity: NDArray[Any], category: str) -> Any:
    """Draw the units of one category, and return what the legend shows."""
    if not category:
        return axis.scatter(values, sensitivity, s=9, color="#9a9a9a", marker="o", linewidths=0, clip_on=False)
    place = CATEGORIES.index(category)
    return axis.scatter(
        values, sensitivity, s=18, color=LINE_COLOURS[place], marker=LINE_MARKERS[place], linewidths=0, alpha=0.85,
        clip_on=False,
    )  # fmt: skip


def _share(units: Units, layer: str, category: str) -> float:
    """Return the share of a layer's units that detect a concept of a category."""
    here = units["layer"] == layer
    return float((here & (units["category"] == category) & units["detector"].astype(bool)).sum() / here.sum())
