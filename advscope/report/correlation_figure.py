"""Cell by cell: the effect of a cell against the size of the perturbation in it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.examples import Arrays
from advscope.report.figure_style import BALANCE, WIDTH, short_name, style, write_heading
from advscope.report.image_panel import cell_norms
from advscope.report.row_values import Columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DECADE = 10.0
"""Where the largest value is so many times the smallest, or more, an axis is logarithmic."""


def correlation_figure(
    arrays: Arrays,
    attack: str,
    columns: Columns | None = None,
    class_names: Sequence[str] | None = None,
    examples: int = 4,
) -> "Figure":
    """Draw each example's cells: the significance s against the l2 norm of the perturbation in the cell.

    Axes are logarithmic where their values span a decade. A cell without a perturbation has no place on a logarithmic
    axis: such cells are counted in the panel's title, as are cells whose significance is undefined.

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        attack: Which attack's examples.
        columns: The per-image rows, from which each panel takes its correlations; without, it names none.
        class_names: Name of each class; numbers are shown without.
        examples: How many to draw at most.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If the arrays hold no PSR of the attack.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Table 1.
    """
    from matplotlib.figure import Figure

    if f"{attack}/psr/score" not in arrays:
        raise ValueError(f"the arrays hold no PSR of attack {attack!r}; add callbacks.PromotionSuppressionMonitor")
    count = min(examples, len(arrays[f"{attack}/images"]))
    lines = -(-count // 2)
    with style():
        figure = Figure(figsize=(WIDTH, 0.7 + 2.9 * max(1, lines)), layout="constrained")
        write_heading(figure, f"{attack}: significance of a cell against its l2 norm")
        axes = figure.subplots(max(1, lines), min(2, max(1, count)), squeeze=False).flatten()
        for position, axis in enumerate(axes):
            if position < count:
                _draw_example(axis, arrays, attack, position, class_names)
                index = int(arrays[f"{attack}/indices"][position])
                axis.set_title(f"{axis.get_title()}\n{_correlations(columns or {}, attack, index)}".rstrip())
            else:
                axis.set_visible(False)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _draw_example(axis: Any, arrays: Arrays, attack: str, position: int, class_names: Sequence[str] | None) -> None:
    """Draw one example's cells."""
    scores = arrays[f"{attack}/psr/score"][position].astype(np.float64)
    significant = arrays[f"{attack}/psr/significant"][position].astype(bool)
    norms = _norms(arrays, attack, position)
    defined = ~np.isnan(scores) & ~np.isnan(norms)
    positive = norms[defined & (norms > 0)]
    log_norms = _spread(positive) >= _DECADE
    shown = defined & (norms > 0) if log_norms else defined
    for name, chosen, size, colour in (
        ("significant cell", shown & significant, 22, "#0072B2"),
        ("other cell", shown & ~significant, 14, BALANCE.fill),
    ):
        axis.scatter(
            norms[chosen], scores[chosen], s=size, c=colour, marker="o", label=name,
            linewidths=0, alpha=0.8,
        )  # fmt: skip
    if log_norms:
        axis.set_xscale("log")
    if _spread(scores[shown & (scores > 0)]) >= _DECADE and not (scores[shown] <= 0).any():
        axis.set_yscale("log")
    label, target = (short_name(arrays[f"{attack}/{name}"][position], class_names) for name in ("labels", "targets"))
    left_out = [
        f"{number} {why}"
        for number, why in (
            (int((defined & ~shown).sum()), "unperturbed"),
            (int((~defined).sum()), "undefined"),
        )
        if number
    ]
    index = int(arrays[f"{attack}/indices"][position])
    without = f"\nnot drawn: {', '.join(left_out)}" if left_out else ""
    axis.set_title(f"image {index}: {label} \N{RIGHTWARDS ARROW} {target}, {int(shown.sum())} cells{without}")
    axis.set_xlabel("l2 norm of x' \N{MINUS SIGN} x in the cell")
    axis.set_ylabel("s = d0 + dt (logits)")
    axis.grid(True)


def _norms(arrays: Arrays, attack: str, position: int) -> NDArray[np.float64]:
    """Return the l2 norm of the perturbation in each cell, as the monitor kept it or from the images."""
    if f"{attack}/psr/norm_l2" in arrays:
        kept: NDArray[np.float64] = arrays[f"{attack}/psr/norm_l2"][position].astype(np.float64)
        return kept
    images, adversarials = arrays[f"{attack}/images"][position], arrays[f"{attack}/adversarials"][position]
    return cell_norms(adversarials - images, arrays["psr/cells"])


def _spread(values: NDArray[np.float64]) -> float:
    """Return the largest over the smallest of positive values, 1 without any."""
    return float(values.max() / values.min()) if len(values) else 1.0


def _correlations(columns: Columns, attack: str, index: int) -> str:
    """Return an image's correlations in words, as its row holds them."""
    names = {"psr/pearson_score_l2": "Pearson", "psr/kendall_score_l2": "Kendall"}
    if "attack" not in columns:
        return ""
    here = np.flatnonzero((columns["attack"] == attack) & (columns["index"] == index))
    if not len(here):
        return ""
    values = {word: float(columns[name][here[0]]) for name, word in names.items() if name in columns}
    return ", ".join(
        f"{word} {'undefined' if math.isnan(value) else format(value, '.2f')}" for word, value in values.items()
    )
