"""The interpretability score against the quantile that cuts the mask out of the map."""

from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, LINE_STYLES, WIDTH, style, write_heading
from advscope.report.row_values import AttackedRows, Columns
from advscope.report.score_columns import PAIRS, ScoreColumn, score_columns
from advscope.report.score_figure import mean_chance

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def quantile_figure(columns: Columns, percent: float = 70, title: str = "", main: str = "main explainer") -> "Figure":
    """Draw the mean IS with its 95% interval against the quantile, a line per attack, a panel per map and explainer.

    The dotted line is the chance level, which falls as the mask shrinks: only what lies above it says anything.

    Args:
        columns: The per-image rows, as :func:`~advscope.report.image_rows.read_columns` returns them.
        percent: The monitor's own quantile in percent, that of the columns without one in their name.
        title: What stands above.
        main: What the monitor's main explainer is called.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If there is no column of a further quantile, such as ``is/score_adversarial_at_60``.
    """
    from matplotlib.figure import Figure

    found = [column for column in score_columns(columns) if not column.control]
    explainers = sorted({column.explainer for column in found if column.percent is not None})
    if not explainers:
        raise ValueError("the rows hold no IS at a further quantile (is/score_adversarial_at_60); evaluate with some")
    pairs = [pair for pair in PAIRS if any(column.pair == pair for column in found)]
    rows = AttackedRows(columns)
    attacks = [attack for attack in rows.attacks if any(rows.has(attack, column.name) for column in found)]
    numbers = [len(rows.values(attack, found[0].name).defined) for attack in attacks]
    number = "n = " + ("0" if not numbers else f"{min(numbers)}" if len(set(numbers)) == 1 else
                       f"{min(numbers)} to {max(numbers)}")  # fmt: skip
    with style():
        figure = Figure(figsize=(WIDTH, 1.2 + 2.5 * len(explainers)), layout="constrained")
        write_heading(figure, f"{title or 'IS against the quantile'} ({number}; bars: 95% intervals)")
        panels = figure.subplots(len(explainers), len(pairs), squeeze=False, sharex=True, sharey="row")
        handles: dict[str, Any] = {}
        for line, explainer in zip(panels, explainers, strict=True):
            for axis, pair in zip(line, pairs, strict=True):
                here = [column for column in found if (column.explainer, column.pair) == (explainer, pair)]
                handles |= _draw_panel(axis, rows, attacks, here, percent)
                axis.set_title(f"{PAIRS[pair]}, {explainer or main}")
                axis.grid(axis="y")
            line[0].set_ylabel("mean IS")
        for axis in panels[-1]:
            axis.set_xlabel("quantile of the map, %")
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=min(5, len(handles)))
    return figure


def _draw_panel(
    axis: Any, rows: AttackedRows, attacks: list[str], columns: list[ScoreColumn], percent: float
) -> dict[str, Any]:
    """Draw one explainer's lines for one map, and return what the legend shows."""
    # A quantile that is named and the monitor's own may be the same: the named column stands then.
    by_percent = {percent if column.percent is None else column.percent: column for column in reversed(columns)}
    by_percent |= {column.percent: column for column in columns if column.percent is not None}
    places = sorted(by_percent)
    handles: dict[str, Any] = {}
    for position, attack in enumerate(attacks):
        colour = LINE_COLOURS[position % len(LINE_COLOURS)]
        figures = [rows.values(attack, by_percent[place].name).estimate() for place in places]
        lows, highs = [figure.low for figure in figures], [figure.high for figure in figures]
        axis.vlines(places, lows, highs, color=colour, linewidth=1.4)
        (handles[attack],) = axis.plot(
            places,
            [figure.value for figure in figures],
            color=colour,
            marker=LINE_MARKERS[position % len(LINE_MARKERS)],
            # From the eighth attack on, colours and marks come a second time.
            linestyle=LINE_STYLES[position // len(LINE_COLOURS) % 3],
            markersize=5,
        )
        levels = np.array([mean_chance(rows, attack, by_percent[place]) for place in places])
        if not np.isnan(levels).all():
            (handles["chance"],) = axis.plot(places, levels, color="black", linestyle=":", linewidth=1.6, zorder=1)
    axis.set_xticks(places, [f"{place:g}" for place in places])
    return {name: handles[name] for name in (*attacks, "chance") if name in handles}
