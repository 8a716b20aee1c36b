"""PSR classes over a map, in the paper's colours: white suppression, black promotion, grey balance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.examples import Arrays
from advscope.report.figure_style import CELL_CLASSES, classify

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOUNDS = ("r < \N{MINUS SIGN}1", "r > 1", "|r| \N{LESS-THAN OR EQUAL TO} 1")
_PANEL_POINTS = 115
"""Width of a panel of four in points, from which the lines around cells take their width."""
_GAP = 0.06
"""Share of a cell that is left free on each side, so that the map is seen between cells."""


def draw_cells(axis: Any, arrays: Arrays, attack: str, position: int) -> None:
    """Fill the significant cells of one example with the colour of their class; insignificant ones stay free.

    Args:
        axis: Axes whose units are pixels of the image.
        arrays: As :func:`~advscope.report.examples.load_examples` returns them, with the attack's PSR.
        attack: Which attack's example.
        position: Which of its examples.
    """
    ratios, significant = (arrays[f"{attack}/psr/{name}"][position] for name in ("ratio", "significant"))
    width = arrays[f"{attack}/images"].shape[3]
    fill_cells(axis, arrays["psr/cells"], classify(ratios, significant), width)


def fill_cells(axis: Any, cells: NDArray[Any], classes: Sequence[NDArray[np.bool_]], image_width: int) -> None:
    """Fill cells with the colour of their class.

    Args:
        axis: Axes whose units are pixels of the image.
        cells: ``(m, 4)``: top, left, bottom, right.
        classes: For each of :data:`~advscope.report.figure_style.CELL_CLASSES` which cells are of it, ``(m,)``.
        image_width: Width of the image in pixels.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    if not len(cells):
        return
    edges = cells.astype(float)
    points = float((edges[:, 3] - edges[:, 1]).max()) / image_width * _PANEL_POINTS
    # A line of a twentieth of a cell: thin enough to leave the filling its colour in cells of five points.
    width = min(1.0, max(0.3, points / 20))
    for kind, here in zip(CELL_CLASSES, classes, strict=True):
        boxes = []
        for top, left, bottom, right in edges[here]:
            across, down = _GAP * (right - left), _GAP * (bottom - top)
            boxes.append(Rectangle((left + across, top + down), right - left - 2 * across, bottom - top - 2 * down))
        if boxes:
            axis.add_collection(
                PatchCollection(boxes, facecolor=kind.fill, edgecolor=kind.edge, linewidth=width, label=kind.name)
            )


def draw_cell_legend(figure: "Figure") -> None:
    """Say below a figure what the three fillings mean."""
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(facecolor=kind.fill, edgecolor="#555555", linewidth=0.8) for kind in CELL_CLASSES],
        labels=[f"{kind.name} ({bound})" for kind, bound in zip(CELL_CLASSES, _BOUNDS, strict=True)],
        loc="outside lower center",
        ncols=3,
        title="PSR of the most significant cells, which hold 70% of the significance",
    )
