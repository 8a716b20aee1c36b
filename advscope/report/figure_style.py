"""What all figures share: colours, marks, sizes, and how they are written."""

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advscope.tables.atomic_file import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.2
"""Width of every figure in inches: at phone width its 9-point text is still read."""

DOTS_PER_INCH = 130

_HEADING = 76
"""Letters of a heading's line: what fits beside each other where all are wide."""

_NAME = 16
"""Letters of a class's name over a panel of four."""


class CellClass(NamedTuple):
    """How a class of PSR cells is drawn: in plots by colour, brightness and mark, over a map as in the paper."""

    name: str
    colour: str
    marker: str
    fill: str
    """What its cells are filled with over a map: the paper's white, black and grey."""
    edge: str
    """The line around such a cell, which parts it from its neighbours and from the map."""


# Okabe and Ito's colours, at three different brightnesses.
SUPPRESSION = CellClass("suppression", "#0072B2", "v", "#ffffff", "#000000")
PROMOTION = CellClass("promotion", "#D55E00", "^", "#000000", "#ffffff")
BALANCE = CellClass("balance", "#CC79A7", "o", "#808080", "#ffffff")
CELL_CLASSES = (SUPPRESSION, PROMOTION, BALANCE)

LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINE_STYLES = ("-", "--", "-.", ":")

FORMATS = ("png", "svg")
"""What figures are written as: PNG for W&B and for pages, SVG for print."""

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "figure.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "hatch.linewidth": 0.7,
    # Names in an SVG come from what they name, not from a random number; letters are drawn as outlines, which look
    # the same wherever the file is opened.
    "svg.hashsalt": "advscope",
    "svg.fonttype": "path",
}


_NAMED = re.compile(r'(id="|#)([^"()\s]*[0-9a-f]{10})(["\)])')
"""Where an SVG gives or uses a hashed name."""


@contextmanager
def style() -> Iterator[None]:
    """Draw in the common style while the ``with`` lasts; the user's own settings come back in any case."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        parameters: Any = matplotlib.rcParams
        parameters.update(_SETTINGS)
        yield


def classify(ratios: NDArray[Any], significant: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """Return for each of :data:`CELL_CLASSES` which cells are of it.

    A significant cell is suppression-dominated for r < -1, promotion-dominated for r > 1, balanced in between.

    Args:
        ratios: log2 of promotion over suppression, any shape; nan where undefined.
        significant: Which cells are, same shape.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, below Eq. 4.
    """
    counts = np.asarray(significant, dtype=bool) & ~np.isnan(ratios)
    return [counts & (ratios < -1), counts & (ratios > 1), counts & (ratios >= -1) & (ratios <= 1)]


def class_name(label: int, names: Sequence[str] | None) -> str:
    """Return a class's name, its number where there is no name."""
    label = int(label)
    return str(names[label]) if names is not None and 0 <= label < len(names) else f"class {label}"


def short_name(label: int, names: Sequence[str] | None) -> str:
    """Return a class's name as it fits over a panel: the first of its synonyms, cut after sixteen letters.

    Example:
        >>> short_name(0, ["studio couch, day bed"]), short_name(0, ["black-and-tan coonhound"])
        ('studio couch', 'black-and-tan c\N{HORIZONTAL ELLIPSIS}')
    """
    name = class_name(label, names).split(",")[0]
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def write_heading(figure: "Figure", text: str) -> None:
    """Write what a figure shows above it, on as many lines as its width needs: names of runs may be long."""
    # A number of images stays on one line.
    lines = textwrap.fill(text.replace("n = ", "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"), _HEADING)
    figure.suptitle(lines.replace("\N{NO-BREAK SPACE}", " "), fontweight="bold")


def write_block_heading(block: Any, text: str) -> None:
    """Write what a block of a figure shows above it, likewise: names of classes may be long."""
    block.suptitle(textwrap.fill(text, _HEADING))


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure as PNG or SVG; the same bytes for the same figure and version of matplotlib.

    Args:
        figure: What to write.
        path: File to write; an old one is replaced in one step. Its suffix, ``.png`` or ``.svg``, is the format.

    Raises:
        ValueError: If the suffix is another.
    """
    kind = Path(path).suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"a figure is written as .png or .svg, got {path}; choose one of the two")
    buffer = io.BytesIO()
    # Some settings are read when a figure is drawn, and not when it is made.
    with style():
        figure.savefig(
            buffer,
            format=kind,
            dpi=DOTS_PER_INCH,
            facecolor="white",
            # The date would change the bytes each time.
            metadata={"Date": None} if kind == "svg" else None,
        )
    content = buffer.getvalue()
    write_atomically(path, numbered(content.decode()).encode() if kind == "svg" else content)


def numbered(text: str) -> str:
    """Return an SVG whose hashed names are numbers, in the order in which they are given.

    Matplotlib makes the names of what the layout places from its coordinates, to the last bit; in this bit the layout
    of the same figure can differ from one drawing to the next.

    Example:
        >>> numbered('<path id="p19698a2391"/><g clip-path="url(#p19698a2391)"/>')
        '<path id="n1"/><g clip-path="url(#n1)"/>'
    """
    names: dict[str, str] = {}
    return _NAMED.sub(lambda found: found[1] + names.setdefault(found[2], f"n{len(names) + 1}") + found[3], text)
