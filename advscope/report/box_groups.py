"""Boxes side by side: an attack a place, a series a colour, with n and the mean in each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS
from advscope.report.row_values import Values

LEGEND = "boxes: quartiles and median; whiskers: 5% to 95%; marks: mean with its 95% interval"
"""What stands below every figure of boxes."""

_SPAN = 0.8
"""Width of a group of boxes, where neighbouring groups are 1 apart."""

_LETTERS = 72
"""Letters that fit side by side below a panel as wide as a figure."""


def box_statistics(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return what a box shows of values: quartiles, median, and the 5% and 95% quantiles, linearly interpolated.

    Args:
        values: At least one, none of them nan.
    """
    low, first, middle, third, high = (float(value) for value in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)))
    return {"whislo": low, "q1": first, "med": middle, "q3": third, "whishi": high, "fliers": []}


def draw_boxes(axis: Any, groups: Mapping[str, Mapping[str, Values]], series: Sequence[str]) -> dict[str, Any]:
    """Draw a group of boxes per attack, and below it n and how many are undefined.

    Args:
        axis: Where to draw; the vertical axis is the values'.
        groups: For each attack its values by series. A series without a defined value has no box.
        series: The series in the order of their colours.

    Returns:
        For each series that is drawn what a legend shows.
    """
    handles: dict[str, Any] = {}
    for place, name in enumerate(series):
        boxes, means, spots = [], [], []
        for group, found in enumerate(groups.values()):
            if name in found and len(found[name].defined):
                boxes.append(box_statistics(found[name].defined))
                means.append(found[name].estimate())
                spots.append(box_place(group, place, len(series)))
        if not boxes:
            continue
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        drawn = axis.bxp(
            boxes,
            positions=spots,
            widths=0.8 * _SPAN / len(series),
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": colour, "alpha": 0.45, "edgecolor": colour},
            medianprops={"color": "black", "linewidth": 1.4},
            whiskerprops={"color": colour},
            capprops={"color": colour},
        )
        handles[name] = drawn["boxes"][0]
        draw_means(axis, spots, means, "black", LINE_MARKERS[place % len(LINE_MARKERS)], size=4)
    name_groups(axis, groups)
    return handles


def name_groups(axis: Any, groups: Mapping[str, Mapping[str, Values]]) -> None:
    """Write each attack's name, n and number of undefined values below its place, slanted where they would meet."""
    labels = [f"{attack}\n{counts(found)}" for attack, found in groups.items()]
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    slanted = longest > _LETTERS / max(1, len(groups))
    if slanted:
        # Two lines each: a third would lie on the neighbour's first.
        labels = [label.replace("\nundefined:\n", ", undefined: ") for label in labels]
    axis.set_xticks(
        range(len(groups)),
        labels,
        **({"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}),
    )
    axis.set_xlim(-0.5, len(groups) - 0.5)
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y")


def draw_means(
    axis: Any, places: Sequence[float], means: Sequence[Any], colour: str, marker: str, size: float = 5, label: str = ""
) -> Any:
    """Draw means with their intervals; nothing where one is nan, and return what a legend shows."""
    values = [figure.value for figure in means]
    axis.vlines(
        places, [figure.low for figure in means], [figure.high for figure in means], color=colour, linewidth=1.4
    )
    (marks,) = axis.plot(
        places, values, color=colour, marker=marker, markersize=size, linestyle="none", label=label or None, zorder=4
    )
    return marks


def box_place(group: int, place: int, total: int) -> float:
    """Return where a series' box stands within its group.

    Example:
        >>> box_place(2, 0, 1), round(box_place(0, 1, 2), 6)
        (2.0, 0.2)
    """
    return group + ((place + 0.5) / total - 0.5) * _SPAN


def counts(found: Mapping[str, Values]) -> str:
    r"""Return n in words, with the number of undefined values where there are any; a range where series differ.

    Example:
        >>> counts({"CAM": Values(np.zeros(9), 0), "Grad-CAM": Values(np.zeros(7), 2)})
        'n = 7 to 9\nundefined:\n0 to 2'
    """

    def spread(numbers: list[int]) -> str:
        return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"

    numbers = [len(values.defined) for values in found.values()]
    undefined = [values.undefined for values in found.values()]
    if not numbers:
        return "n = 0"
    return f"n = {spread(numbers)}" + (f"\nundefined:\n{spread(undefined)}" if max(undefined) else "")
