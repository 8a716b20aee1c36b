"""The interpretability score of each attack beside that of random perturbations."""

from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.report.box_groups import box_place, draw_means, name_groups
from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, WIDTH, style, write_heading
from advscope.report.row_values import AttackedRows, Columns
from advscope.report.score_columns import CONTROLS, PAIRS, ScoreColumn, score_columns
from advscope.report.score_figure import chance_range, mean_chance

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def control_figure(columns: Columns, title: str = "") -> "Figure":
    """Draw the mean IS of each attack, and that of its controls, with 95% intervals; a panel per map.

    The controls are random perturbations of the same images: ``noise`` has the attack's norm in every image,
    ``shuffled`` its values too, and so its sparsity, at other positions. An attack whose IS is no higher than its
    control's does not lie where the network looks. The dotted line is the chance level.

    Args:
        columns: The per-image rows, as :func:`~advscope.report.image_rows.read_columns` returns them.
        title: What stands above.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If there is no column of a control, such as ``is/score_adversarial_noise``.
    """
    from matplotlib.figure import Figure

    found = [column for column in score_columns(columns) if not column.explainer and column.percent is None]
    controls = [control for control in CONTROLS if any(column.control == control for column in found)]
    if not any(controls):
        raise ValueError("the rows hold no IS of a control (is/score_adversarial_noise); evaluate with controls")
    pairs = [pair for pair in PAIRS if any(column.pair == pair for column in found)]
    rows = AttackedRows(columns)
    attacks = [attack for attack in rows.attacks if any(rows.has(attack, column.name) for column in found)]
    with style():
        figure = Figure(figsize=(WIDTH, 1.1 + 2.6 * len(pairs)), layout="constrained")
        write_heading(figure, title or "Interpretability score of attacks and of random perturbations")
        handles: dict[str, Any] = {}
        for axis, pair in zip(figure.subplots(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True):
            levels = [mean_chance(rows, attack, ScoreColumn("score", pair)) for attack in attacks]
            for place, control in enumerate(controls):
                column = ScoreColumn("score", pair, control=control).name
                figures = [rows.values(attack, column).estimate() for attack in attacks]
                handles[CONTROLS[control]] = draw_means(
                    axis,
                    [box_place(group, place, len(controls)) for group in range(len(attacks))],
                    figures,
                    LINE_COLOURS[place],
                    LINE_MARKERS[place],
                )
            for group, level in enumerate(levels):
                if not np.isnan(level):
                    marks = axis.hlines(level, group - 0.45, group + 0.45, color="black", linestyle=":", linewidth=1.6)
                    handles["chance"] = marks
            wanted = {control: ScoreColumn("score", pair, control=control).name for control in controls}
            name_groups(
                axis,
                {
                    attack: {control: rows.values(attack, name) for control, name in wanted.items() if name in columns}
                    for attack in attacks
                },
            )
            axis.set_ylabel(f"mean IS with {PAIRS[pair]}")
            axis.set_title(
                f"Map {PAIRS[pair]}: chance {chance_range([level for level in levels if not np.isnan(level)])}"
            )
        figure.legend(
            handles.values(), handles, loc="outside lower center", ncols=len(handles), title="bars: 95% intervals"
        )
    return figure
