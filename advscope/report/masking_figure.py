"""What becomes of accuracy when units are masked."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, LINE_STYLES, WIDTH, style, write_heading
from advscope.tables.csv_table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDERS = {"sensitive": "most sensitive first", "interpretable": "most interpretable first", "random": "random order"}
"""Orders in which units are masked, with what they are called."""

_ROWS = 8


def masking_lines(table: Table, layer: str, order: str, attack: str) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each line of one order, by the number of masked units.

    An order that was drawn several times (random ones of several seeds) has several rows for one number; each of its
    draws is a line: the first of each number, the second, and so on.

    Args:
        table: As :func:`~advscope.tables.read_masking` returns it.
        layer: Name of the layer.
        order: One of :data:`ORDERS`.
        attack: Name of the attack.
    """
    rows = np.flatnonzero((table["layer"] == layer) & (table["order"] == order) & (table["attack"] == attack))
    rows = rows[np.argsort(table["masked"][rows], kind="stable")]
    masked = table["masked"][rows]
    draw = np.arange(len(rows)) - np.searchsorted(masked, masked)
    for number in range(int(draw.max(initial=-1)) + 1):
        yield rows[draw == number]


def masking_figure(tables: Mapping[str, Table], title: str = "") -> "Figure":
    """Draw clean and robust accuracy against the number of masked units, one line per order, with 95% bands.

    Args:
        tables: For each run's name its table, as :func:`~advscope.tables.read_masking` returns it.
        title: What stands before the number of images.

    Returns:
        A figure without a window: a row of panels for each run, layer and attack, the clean accuracy on the left, the
        robust one on the right.

    Raises:
        ValueError: If there are no rows, or more than eight panels of runs, layers and attacks.
    """
    from matplotlib.figure import Figure

    rows = [
        (run, layer, attack)
        for run, table in tables.items()
        for layer, attack in dict.fromkeys(zip(table["layer"].tolist(), table["attack"].tolist(), strict=True))
    ]
    if not rows:
        raise ValueError("the table of masked units holds no rows; add callbacks.UnitMaskingMonitor to the evaluation")
    left_out = len(rows) - _ROWS
    rows = rows[:_ROWS]
    images = {int(number) for table in tables.values() for number in table["images"]}
    number = f"n = {min(images)}" if len(images) == 1 else f"n = {min(images)} to {max(images)}"
    with style():
        figure = Figure(figsize=(WIDTH, 1.2 + 2.1 * len(rows)), layout="constrained")
        more = f"; {left_out} further panels left out" if left_out > 0 else ""
        what = title or "Accuracy with masked units"
        write_heading(figure, f"{what} ({number} images; bands: 95% intervals{more})")
        axes = figure.subplots(len(rows), 2, squeeze=False, sharey=True)
        for (run, layer, attack), pair in zip(rows, axes, strict=True):
            # A run's name on a line of its own: a panel is half of the figure, and cuts off what is wider.
            name = f"{run}\n{layer}" if len(tables) > 1 else layer
            for axis, kind in zip(pair, ("clean", "robust"), strict=True):
                axis.set_title(f"{name}: {'clean' if kind == 'clean' else f'robust under {attack}'}")
                _draw_panel(axis, tables[run], layer, attack, kind)
            pair[0].set_ylabel("accuracy")
        for axis in axes[-1]:
            axis.set_xlabel("masked units")
        axes[0, 0].set_ylim(0, 1.03)
        handles = {
            label: handle
            for axis in axes.flatten()
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles))
    return figure


def _draw_panel(axis: Any, table: Table, layer: str, attack: str, kind: str) -> None:
    """Draw the lines of one accuracy."""
    for position, (order, name) in enumerate(ORDERS.items()):
        colour = LINE_COLOURS[position]
        for draw, rows in enumerate(masking_lines(table, layer, order, attack)):
            masked = table["masked"][rows]
            axis.fill_between(
                masked, table[f"{kind}_low"][rows], table[f"{kind}_high"][rows], color=colour, alpha=0.15, linewidth=0
            )
            axis.plot(
                masked, table[f"{kind}_accuracy"][rows], color=colour, marker=LINE_MARKERS[position], markersize=4.5,
                linestyle=LINE_STYLES[position], linewidth=1.4, label=name if draw == 0 else None,
            )  # fmt: skip
    axis.grid(axis="y")
    # Marks at 0 are drawn whole.
    largest = int(table["masked"].max())
    axis.set_xlim(-0.02 * largest, 1.02 * largest)
