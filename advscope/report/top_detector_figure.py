"""Which concepts the most sensitive units detect, beside what as many random units would."""

from math import comb
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from advscope.report.figure_style import LINE_COLOURS, WIDTH, style, write_heading
from advscope.report.unit_figures import CATEGORIES, HATCHES, layers_of
from advscope.tables.unit_rows import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOPS = (100, 80, 50, 30, 20, 10)
"""The paper's numbers of top units, of which a layer takes the largest that is less than its units."""


class TopDetectors(NamedTuple):
    """The detectors among the most sensitive units of one layer."""

    top: int
    """How many units are the top ones."""
    units: int
    """How many units are ranked: those whose sensitivity is defined."""
    counts: dict[str, int]
    """Detectors among the top units by category."""
    expected: dict[str, float]
    """The number among as many random units of the layer that is expected."""
    low: int
    high: int
    """Between them lies the number of all detectors among random units, with 95% probability (hypergeometric)."""


def top_detectors(units: Units, layer: str) -> TopDetectors | None:
    """Count a layer's detectors among its most sensitive units.

    Args:
        units: The per-unit table.
        layer: Name of the layer.

    Returns:
        The counts; of units of equal sensitivity the one with the lesser number stands before. None for a layer of ten
        or fewer units with a sensitivity: the top ten would be all.
    """
    here = np.flatnonzero((units["layer"] == layer) & ~np.isnan(units["sensitivity"]))
    top = next((number for number in TOPS if number < len(here)), None)
    if top is None:
        return None
    order = here[np.lexsort((units["unit"][here], -units["sensitivity"][here]))]
    detectors, categories = units["detector"].astype(bool), units["category"]
    counts = {name: int((detectors & (categories == name))[order[:top]].sum()) for name in _categories(units)}
    whole = {name: int((detectors & (categories == name))[here].sum()) for name in counts}
    low, high = _range(len(here), sum(whole.values()), top)
    return TopDetectors(
        top, len(here), counts, {name: number * top / len(here) for name, number in whole.items()}, low, high
    )


def top_detector_figure(units: Units, title: str = "") -> "Figure":
    """Draw the number of detectors among each layer's most sensitive units by category, beside that of random units.

    Args:
        units: The per-unit table.
        title: What stands over the bars.

    Returns:
        A figure without a window. The left bar of a layer is what its top N units detect, the right, pale one what N
        random units would on average, with the 95% range of their number. N is 100, or the largest of 80, 50, 30, 20
        and 10 that is less than the layer's units; layers of ten or fewer are left out and named below.

    Raises:
        ValueError: If no layer has more than ten units with a sensitivity.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figure 7b.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    found = {layer: top_detectors(units, layer) for layer in layers_of(units)}
    shown = {layer: counted for layer, counted in found.items() if counted is not None}
    if not shown:
        raise ValueError(
            "no layer has more than ten units with a sensitivity; name wider layers, or attack more images"
        )
    categories = [name for name in _categories(units) if any(counted.expected[name] for counted in shown.values())]
    with style():
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        write_heading(figure, title or "Detectors among the most sensitive units, beside random units")
        axis = figure.subplots()
        for place, counted in enumerate(shown.values()):
            floors = [0.0, 0.0]
            for name in categories:
                for side, height in enumerate((counted.counts[name], counted.expected[name])):
                    colour, hatch = _look(name)
                    axis.bar(
                        place + (side - 0.5) * 0.4, height, 0.37, bottom=floors[side], color=colour, hatch=hatch,
                        edgecolor="white", linewidth=0.4, alpha=0.4 if side else 1.0,
                    )  # fmt: skip
                    floors[side] += height
            around = [[floors[1] - counted.low], [counted.high - floors[1]]]
            axis.errorbar(place + 0.2, floors[1], yerr=around, color="#333333", capsize=2.5, linewidth=1)
        tops = {counted.top for counted in shown.values()}
        labels = [
            layer if len(tops) == 1 else f"{layer} (N = {counted.top})" for layer, counted in shown.items()
        ]  # fmt: skip
        axis.set_xticks(range(len(shown)), labels, rotation=50, ha="right", rotation_mode="anchor")
        axis.set_ylabel(f"detectors among N = {tops.pop()} units" if len(tops) == 1 else "detectors among N units")
        axis.grid(axis="y")
        highest = max(max(sum(counted.counts.values()), counted.high) for counted in shown.values())
        axis.set_ylim(0, 1.05 * max(1, highest))
        left_out = [layer for layer in found if layer not in shown]
        if left_out:
            listed = f"{', '.join(left_out[:3])}{', ...' if len(left_out) > 3 else ''}"
            axis.set_xlabel(f"left out, 10 or fewer units: {listed}", fontsize=8)
        handles = [Patch(facecolor=_look(name)[0], hatch=_look(name)[1], edgecolor="white") for name in categories]
        # A white edge and no area: what it says is in its text.
        handles += [Patch(facecolor="#777777"), Patch(facecolor="#777777", alpha=0.4)]
        names = [*categories, "top N sensitive units", "N random units, with 95% range"]
        figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)))
    return figure


def _categories(units: Units) -> list[str]:
    """Return the categories of detectors, Broden's in their order, then others by name."""
    seen = set(units["category"][units["detector"].astype(bool)].tolist())
    return [*(name for name in CATEGORIES if name in seen), *sorted(seen - set(CATEGORIES))]


def _look(category: str) -> tuple[str, str]:
    """Return a category's colour and hatching."""
    if category not in CATEGORIES:
        return "#999999", "++"
    place = CATEGORIES.index(category)
    return LINE_COLOURS[place], HATCHES[place]


def _range(units: int, detectors: int, top: int) -> tuple[int, int]:
    """Return the ends of the 95% range of a hypergeometric number: at most 2.5% lie below it, and above it."""
    ways = [comb(detectors, number) * comb(units - detectors, top - number) for number in range(top + 1)]
    whole = comb(units, top)
    below, low = 0, 0
    while 40 * (below + ways[low]) <= whole:
        below, low = below + ways[low], low + 1
    above, high = 0, top
    while 40 * (above + ways[high]) <= whole:
        above, high = above + ways[high], high - 1
    return low, high
