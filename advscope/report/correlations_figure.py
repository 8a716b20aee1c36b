"""How far the size of the perturbation in a cell tells the cell's effect: the distribution over images."""

from typing import TYPE_CHECKING, Any

from advscope.report.box_groups import LEGEND, draw_boxes
from advscope.report.figure_style import WIDTH, style, write_heading
from advscope.report.row_values import AttackedRows, Columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COEFFICIENTS = {"pearson": "Pearson's r", "kendall": "Kendall's tau-b"}
_EFFECTS = {"suppression": "suppression d0", "promotion": "promotion dt", "score": "significance s"}


def correlations_figure(columns: Columns, title: str = "") -> "Figure":
    """Draw the per-image correlations of d0, dt and s with the l2 norm of the cells: a panel per coefficient.

    A correlation is undefined where the effect or the norm is the same in every cell, as the norm is for a saturated
    l-inf attack; such images are counted below the attack's name.

    Args:
        columns: The per-image rows, as :func:`~advscope.report.image_rows.read_columns` returns them.
        title: What stands above.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If there is no column such as ``psr/pearson_score_l2``.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057:
        Table 1, and the later version's Pearson and Kendall correlations.
    """
    from matplotlib.figure import Figure

    def column(coefficient: str, effect: str) -> str:
        return f"psr/{coefficient}_{effect}_l2"

    shown = [name for name in _COEFFICIENTS if any(column(name, effect) in columns for effect in _EFFECTS)]
    if not shown:
        raise ValueError(
            "the rows hold no correlation (psr/pearson_score_l2); add callbacks.PromotionSuppressionMonitor"
        )
    rows = AttackedRows(columns)
    with style():
        figure = Figure(figsize=(WIDTH, 1.2 + 2.9 * len(shown)), layout="constrained")
        write_heading(figure, title or "Correlation of a cell's effect with its l2 norm, per image")
        handles: dict[str, Any] = {}
        for axis, coefficient in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
            groups = {
                attack: {
                    name: rows.values(attack, column(coefficient, effect))
                    for effect, name in _EFFECTS.items()
                    if column(coefficient, effect) in columns
                }
                for attack in rows.attacks
            }
            handles |= draw_boxes(axis, groups, list(_EFFECTS.values()))
            for place, found in enumerate(groups.values()):
                if not any(len(values.defined) for values in found.values()):
                    axis.annotate("undefined", (place, 0), ha="center", va="bottom")
            axis.axhline(0, color="black", linewidth=0.8)
            low = min(0.0, axis.get_ylim()[0])
            axis.set_ylim(max(-1.05, low - 0.05), 1.05)
            axis.set_ylabel(_COEFFICIENTS[coefficient])
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, title=LEGEND)
    return figure
