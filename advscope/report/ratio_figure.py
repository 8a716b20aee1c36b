"""The promotion-suppression ratio, sorted, with the lines that part its classes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.examples import Arrays
from advscope.report.figure_style import (
    BALANCE,
    LINE_COLOURS,
    LINE_MARKERS,
    PROMOTION,
    SUPPRESSION,
    WIDTH,
    classify,
    style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MANY = 7
"""From this number of images on, single curves are drawn thin and grey, and the figure shows their pool."""


def ratio_figure(arrays: Arrays, attack: str) -> "Figure":
    """Draw r = log2(promotion / suppression) of the significant cells, sorted, one curve per example.

    Where a curve is below -1, cells are suppression-dominated; above 1, promotion-dominated; balanced in between. The
    bands name each class's share of all the curves' cells.

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        attack: Which attack's examples.

    Returns:
        A figure without a window. Examples without a significant cell are left out and counted in the title.

    Raises:
        ValueError: If the arrays hold no PSR of the attack.
    """
    from matplotlib.figure import Figure

    if f"{attack}/psr/ratio" not in arrays:
        raise ValueError(f"the arrays hold no PSR of attack {attack!r}; add callbacks.PromotionSuppressionMonitor")
    ratios, significant = arrays[f"{attack}/psr/ratio"], arrays[f"{attack}/psr/significant"].astype(bool)
    indices = arrays[f"{attack}/indices"]
    curves = {
        int(index): np.sort(row[chosen & ~np.isnan(row)])
        for index, row, chosen in zip(indices, ratios, significant, strict=True)
    }
    drawn = {index: curve for index, curve in curves.items() if len(curve)}
    pooled = np.sort(np.concatenate([*drawn.values(), np.array([])]))
    with style():
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axis = figure.subplots()
        limit = 1.08 * max(2.5, float(np.abs(pooled[np.isfinite(pooled)]).max(initial=0)))
        _draw_bands(axis, classify(ratios, significant), limit)
        for position, (index, curve) in enumerate(drawn.items()):
            single = len(drawn) < _MANY
            axis.plot(
                _shares(curve),
                curve,
                color=LINE_COLOURS[position % len(LINE_COLOURS)] if single else "#888888",
                marker=LINE_MARKERS[position % len(LINE_MARKERS)] if single else None,
                markevery=max(1, len(curve) // 10),
                markersize=5,
                linewidth=1.6 if single else 0.7,
                label=f"image {index}" if single else None,
            )
        if len(drawn) >= _MANY:
            axis.plot(_shares(pooled), pooled, color="black", linewidth=2.2, label="all cells")
        if drawn:
            # Sorted curves leave the upper left and the lower right free.
            axis.legend(loc="lower right", bbox_to_anchor=(1, 0.07), ncols=2 if len(drawn) > 3 else 1)
        without = len(curves) - len(drawn)
        left_out = f", {without} more without a significant cell" if without else ""
        axis.set_title(
            f"{attack}: PSR of {len(pooled)} significant cells in {len(drawn)} images{left_out}", fontweight="bold"
        )
        axis.set(
            xlim=(0, 1),
            ylim=(-limit, limit),
            xlabel="share of the image's significant cells, sorted by r",
            ylabel="r = log2(promotion / suppression)",
        )
    return figure


def _shares(curve: NDArray[Any]) -> NDArray[Any]:
    """Return the place of each cell of a curve, in (0, 1)."""
    return (np.arange(len(curve)) + 0.5) / max(1, len(curve))


def _draw_bands(axis: Any, classes: list[NDArray[np.bool_]], limit: float) -> None:
    """Draw the lines at -1 and 1, and name what lies between them with its share."""
    total = sum(int(here.sum()) for here in classes)
    bounds = ((-limit, -1.0), (1.0, limit), (-1.0, 1.0))
    for kind, here, (low, high) in zip((SUPPRESSION, PROMOTION, BALANCE), classes, bounds, strict=True):
        axis.axhspan(low, high, facecolor=kind.colour, alpha=0.13, linewidth=0)
        share = f" {int(here.sum()) / total:.0%}" if total else ""
        place = {"suppression": -0.93 * limit, "promotion": 0.93 * limit, "balance": 0.0}[kind.name]
        align = {"suppression": "bottom", "promotion": "top", "balance": "center"}[kind.name]
        left = kind is PROMOTION
        axis.text(
            0.015 if left else 0.985,
            place,
            f"{kind.name}{share}",
            ha="left" if left else "right",
            va=align,
            fontweight="bold",
            color="#222222",
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5},
            zorder=5,
        )
    for place in (-1, 1):
        axis.axhline(place, color="black", linestyle="--", linewidth=1)
