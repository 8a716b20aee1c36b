"""Cell by cell: the ratio, its two parts, and the size of the perturbation there."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.examples import Arrays
from advscope.report.figure_style import (
    CELL_CLASSES,
    PROMOTION,
    SUPPRESSION,
    WIDTH,
    class_name,
    classify,
    style,
    write_heading,
)
from advscope.report.image_panel import cell_field, cell_norms, draw_image, draw_map, draw_nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure


def cell_figure(arrays: Arrays, attack: str, position: int = 0, class_names: "Sequence[str] | None" = None) -> "Figure":
    """Draw one example's significant cells in the order of their ratio.

    Above, the adversarial image and the l2 norm of the perturbation in every cell. Below, four panels with one place
    per significant cell: r with the +-1 lines; suppression d0 and promotion dt in logits; the l2 and the l-inf norm of
    the cell's perturbation, in image units.

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        attack: Which attack's example.
        position: Which of its examples.
        class_names: Name of each class; numbers are shown without.

    Returns:
        A figure without a window; its panels are empty where no cell is significant.

    Raises:
        ValueError: If the arrays hold no PSR of the attack, or no such example.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figure 2.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if f"{attack}/psr/ratio" not in arrays:
        raise ValueError(f"the arrays hold no PSR of attack {attack!r}; add callbacks.PromotionSuppressionMonitor")
    found = {name: arrays[f"{attack}/psr/{name}"] for name in ("ratio", "suppression", "promotion", "significant")}
    if not 0 <= position < len(found["ratio"]):
        raise ValueError(f"position must be in 0 ... {len(found['ratio']) - 1}, got {position}")
    ratios, suppressions, promotions, significant = (values[position] for values in found.values())
    counted = np.flatnonzero(significant.astype(bool) & ~np.isnan(ratios))
    order = counted[np.argsort(ratios[counted], kind="stable")]
    perturbation = arrays[f"{attack}/adversarials"][position] - arrays[f"{attack}/images"][position]
    places = np.arange(1, len(order) + 1)
    with style():
        figure = Figure(figsize=(WIDTH, 9.0), layout="constrained")
        blocks: Any = figure.subfigures(2, 1, height_ratios=(1, 2.1))
        top, bottom = blocks
        _draw_pictures(top, arrays, attack, position)
        above, middle, below, last = bottom.subplots(4, 1, sharex=True, height_ratios=(1.3, 1.2, 1, 1))
        label, target = (
            class_name(arrays[f"{attack}/{name}"][position], class_names) for name in ("labels", "targets")
        )
        index = int(arrays[f"{attack}/indices"][position])
        write_heading(
            figure,
            f"{attack}, image {index}: {label} \N{RIGHTWARDS ARROW} {target}; "
            f"{len(order)} of {len(ratios)} cells are significant",
        )
        for kind, here in zip(CELL_CLASSES, classify(ratios[order], significant[order]), strict=True):
            above.scatter(
                places[here],
                ratios[order][here],
                c=kind.colour,
                marker=kind.marker,
                s=26,
                label=kind.name,
                linewidths=0,
            )
        for line in (-1, 1):
            above.axhline(line, color="black", linestyle="--", linewidth=1)
        above.set_ylabel("r = log2(dt / d0)")
        middle.plot(
            places, suppressions[order], color=SUPPRESSION.colour, marker="v", markersize=4, label="suppression d0"
        )
        middle.plot(
            places,
            promotions[order],
            color=PROMOTION.colour,
            marker="^",
            markersize=4,
            linestyle="--",
            label="promotion dt",
        )
        middle.set_ylabel("effect (logits)")
        cells = arrays["psr/cells"]
        below.bar(places, cell_norms(perturbation, cells)[order], color="#666666", width=0.8)
        below.set_ylabel("l2 norm")
        last.bar(places, _peaks(perturbation, cells)[order], color="#666666", width=0.8)
        last.set_ylabel("l-inf norm")
        last.set_xlabel("significant cells, sorted by r")
        last.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axis in (above, middle):
            # Beside the panel, where it hides nothing.
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        for axis in (above, middle, below, last):
            axis.grid(axis="y")
    return figure


def _draw_pictures(block: Any, arrays: Arrays, attack: str, position: int) -> None:
    """Draw the adversarial image, and where the perturbation is how large."""
    adversarial = arrays[f"{attack}/adversarials"][position]
    left, right = block.subplots(1, 2)
    if adversarial.shape[0] in (1, 3):
        draw_image(left, adversarial, "adversarial image x'")
    else:
        draw_nothing(left)
    cells = arrays["psr/cells"]
    norms = cell_norms(adversarial - arrays[f"{attack}/images"][position], cells)
    field = cell_field(norms, cells, adversarial.shape[1:])
    drawn = draw_map(right, field, (0.0, float(norms.max(initial=0))), "l2 norm of x' \N{MINUS SIGN} x", smooth=False)
    block.colorbar(drawn, ax=right, location="right", pad=0.02)


def _peaks(perturbation: NDArray[Any], cells: NDArray[Any]) -> NDArray[np.float64]:
    """Return the l-inf norm of a perturbation ``(C, H, W)`` in each cell."""
    return np.array(
        [
            float(np.abs(perturbation[:, top:bottom, left:right]).max(initial=0))
            for top, left, bottom, right in cells.astype(int)
        ]
    )
