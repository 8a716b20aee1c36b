"""How a run is drawn in every plot of the page: told apart by colour, mark, dash and hatching."""

from typing import NamedTuple

from advscope.report.figure_style import LINE_COLOURS

_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
_GLYPHS = (
    "\N{BLACK CIRCLE}",
    "\N{BLACK SQUARE}",
    "\N{BLACK UP-POINTING TRIANGLE}",
    "\N{BLACK DIAMOND}",
    "\N{BLACK DOWN-POINTING TRIANGLE}",
    "\N{HEAVY GREEK CROSS}",
    "\N{HEAVY MULTIPLICATION X}",
)
_DASHES = ("solid", "dash", "dot", "dashdot")
_PATTERNS = ("", "/", "\\", "x", "-", "|", ".")


class RunStyle(NamedTuple):
    """A run's marks."""

    colour: str
    """One of Okabe and Ito's, as ``#RRGGBB``."""
    symbol: str
    """Plotly's name of the mark."""
    glyph: str
    """The same mark as a character, for text."""
    dash: str
    """Plotly's name of the line."""
    pattern: str
    """Plotly's name of the hatching."""


def run_style(position: int) -> RunStyle:
    """Return the marks of the run at a position; no two of the first 49 have both colour and mark in common.

    Example:
        >>> run_style(0)[:2], run_style(7)[:2]
        (('#0072B2', 'circle'), ('#0072B2', 'square'))
    """
    colours = len(LINE_COLOURS)
    mark = (position + position // colours) % len(_SYMBOLS)
    return RunStyle(
        LINE_COLOURS[position % colours],
        _SYMBOLS[mark],
        _GLYPHS[mark],
        _DASHES[(position + position // colours) % len(_DASHES)],
        _PATTERNS[mark],
    )
