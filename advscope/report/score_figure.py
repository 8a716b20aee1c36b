"""The interpretability score, attack by attack and explainer by explainer, beside its chance level."""

from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.report.box_groups import LEGEND, box_place, draw_boxes
from advscope.report.figure_style import WIDTH, style, write_heading
from advscope.report.row_values import AttackedRows, Columns, Values
from advscope.report.score_columns import PAIRS, ScoreColumn, score_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def score_figure(columns: Columns, title: str = "", main: str = "main explainer") -> "Figure":
    """Draw the distribution of IS over the attacked images: a place per attack, a box per explainer, a panel per map.

    A dotted line across each box is its chance level, the score of a perturbation that is equally large everywhere,
    averaged over the same images; each panel names it.

    Args:
        columns: The per-image rows, as :func:`~advscope.report.image_rows.read_columns` returns them.
        title: What stands above.
        main: What the monitor's main explainer is called.

    Returns:
        A figure without a window; attacks for which no score was measured are left out.

    Raises:
        ValueError: If there is no column ``is/score_adversarial`` or ``is/score_clean``.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057:
        Table 2, and the later version's box plots.
    """
    from matplotlib.figure import Figure

    found = [column for column in score_columns(columns) if not column.control and column.percent is None]
    pairs = [pair for pair in PAIRS if any(column.pair == pair for column in found)]
    if not pairs:
        raise ValueError("the rows hold no IS (is/score_adversarial); add callbacks.InterpretabilityMonitor")
    explainers = sorted({column.explainer for column in found})
    names = [explainer or main for explainer in explainers]
    rows = AttackedRows(columns)
    attacks = [attack for attack in rows.attacks if any(rows.has(attack, column.name) for column in found)]
    with style():
        figure = Figure(figsize=(WIDTH, 1.2 + 2.9 * len(pairs)), layout="constrained")
        write_heading(figure, title or "Interpretability score of the attacked images")
        handles: dict[str, Any] = {}
        for axis, pair in zip(figure.subplots(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True):
            wanted = [ScoreColumn("score", pair, explainer) for explainer in explainers]
            groups = {
                attack: {
                    name: rows.values(attack, column.name)
                    for name, column in zip(names, wanted, strict=True)
                    if column.name in columns
                }
                for attack in attacks
            }
            handles |= draw_boxes(axis, groups, names)
            chance = _draw_chance(axis, rows, attacks, wanted)
            axis.set_ylabel(f"IS with {PAIRS[pair]}")
            axis.set_title(f"Map {PAIRS[pair]}: chance {chance}")
        figure.legend(
            handles.values(), handles, loc="outside lower center", ncols=min(4, max(1, len(names))), title=LEGEND
        )
    return figure


def chance_range(levels: list[float]) -> str:
    """Return chance levels in words, one number where they agree to three decimals.

    Example:
        >>> chance_range([0.5471, 0.5474]), chance_range([0.547, 0.56]), chance_range([])
        ('0.547', '0.547 to 0.560', 'unknown')
    """
    if not levels:
        return "unknown"
    low, high = f"{min(levels):.3f}", f"{max(levels):.3f}"
    return low if low == high else f"{low} to {high}"


def mean_chance(rows: AttackedRows, attack: str, column: ScoreColumn) -> float:
    """Return the mean chance level over an attack's images, nan where the rows hold none."""
    found: Values = rows.values(attack, column.chance())
    return found.estimate().value


def _draw_chance(axis: Any, rows: AttackedRows, attacks: list[str], wanted: list[ScoreColumn]) -> str:
    """Draw each box's chance level, and return the levels in words."""
    levels = []
    half = 0.5 * (box_place(0, 1, len(wanted)) - box_place(0, 0, len(wanted)))
    for group, attack in enumerate(attacks):
        for place, column in enumerate(wanted):
            level = mean_chance(rows, attack, column)
            if not np.isnan(level):
                spot = box_place(group, place, len(wanted))
                axis.hlines(level, spot - half, spot + half, color="black", linestyle=":", linewidth=1.6, zorder=5)
                levels.append(level)
    if levels:
        # To the right of the last group, where no box stands in its way.
        axis.set_xlim(-0.5, len(attacks) - 0.5 + 0.16 * len(attacks))
        axis.annotate("chance", (len(attacks) - 0.52, levels[-1]), va="center", ha="left")
    return chance_range(levels)
