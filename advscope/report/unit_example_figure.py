"""Where units respond in clean and in adversarial images."""

import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.report.figure_style import PROMOTION, SUPPRESSION, WIDTH, style, write_block_heading, write_heading
from advscope.report.image_panel import draw_image, draw_nothing
from advscope.report.masked_picture import draw_segmented, show_share
from advscope.report.unit_examples import UnitExamples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = 5
"""Units beside each other: more would not be read at the width of a page."""

_BLOCKS = 12
_LETTERS = 16
ROLE_MARKS = {
    "detector": ("", "#333333"),
    "suppressed": ("\N{BLACK DOWN-POINTING TRIANGLE} suppressed", SUPPRESSION.colour),
    "promoted": ("\N{BLACK UP-POINTING TRIANGLE} promoted", PROMOTION.colour),
}


def unit_example_figure(found: UnitExamples, title: str = "", examples: int = 4) -> "Figure":
    """Draw where units respond in image pairs.

    Each image pair is a block of columns, one per unit, five beside each other: above, layer, unit and its concept, and
    whether the attack suppresses or promotes it; below, the clean and the adversarial image, darkened where the unit is
    not active, with the share of the image on which it is. The first column shows the whole images.

    Args:
        found: The pairs, with the masks of the units.
        title: What stands over the blocks.
        examples: Image pairs at most; fewer where the figure would grow beyond twelve blocks.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If there is no image pair or no unit, or images have neither 1 nor 3 channels.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figure 8.
    """
    from matplotlib.figure import Figure

    check_pairs(found)
    total = len(found.images)
    lines = -(-len(found.units) // UNITS)
    chunks = [range(*ends) for ends in pairwise(np.linspace(0, len(found.units), lines + 1).astype(int).tolist())]
    columns = 1 + max(3, *map(len, chunks), 0)
    names = max(unit_name(found, place).count("\n") for place in range(len(found.units))) + 2
    count = max(1, min(examples, total, _BLOCKS // len(chunks)))
    with style():
        height = 0.75 + 0.14 * names + 2 * WIDTH / columns
        figure = Figure(figsize=(WIDTH, 0.4 + height * count * len(chunks)), layout="constrained")
        of = f" ({count} of {total} image pairs)" if count < total else ""
        write_heading(figure, f"{title or 'Where units respond, clean and adversarial'}{of}")
        blocks = figure.subfigures(count * len(chunks), 1, squeeze=False)[:, 0]
        places = [(pair, chunk) for pair in range(count) for chunk in chunks]
        for block, (pair, chunk) in zip(blocks, places, strict=True):
            _draw_block(block, found, pair, chunk, (columns, names))
    return figure


def check_pairs(found: UnitExamples) -> None:
    """Refuse examples that cannot be drawn."""
    if not len(found.images) or not len(found.units):
        raise ValueError("the examples hold no image pair or no unit; evaluate on images that the attack succeeds on")
    if found.images.shape[1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels to be drawn, got {found.images.shape[1]}")


def pair_heading(found: UnitExamples, pair: int) -> str:
    """Return what stands over an image pair: its place in the data, the true and the target class."""
    return f"image {int(found.indices[pair])}:  {found.labels[pair]} \N{RIGHTWARDS ARROW} {found.targets[pair]}"


def unit_name(found: Any, place: int) -> str:
    """Return a unit's layer and number, and below them its concept and category, as many lines as a panel needs.

    Args:
        found: Has ``layers``, ``units``, ``concepts`` and ``categories``.
        place: Which unit.
    """
    concept = str(found.concepts[place])
    named = f"{concept}-{found.categories[place]}" if concept else "no concept"
    layer = f"{found.layers[place]} {int(found.units[place])}"
    return f"{_narrow(layer)}\n{_narrow(named)}"


def _narrow(text: str) -> str:
    """Return a text on lines as wide as a panel; of more than two lines the rest is cut off."""
    lines = textwrap.wrap(text, _LETTERS) or [""]
    return "\n".join(lines if len(lines) < 3 else [lines[0], lines[1][: _LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"])


def _draw_block(block: Any, found: UnitExamples, pair: int, chunk: range, sizes: tuple[int, int]) -> None:
    """Draw some units of one pair."""
    write_block_heading(block, pair_heading(found, pair))
    columns, lines = sizes
    axes = block.subplots(2, columns, squeeze=False)
    draw_image(axes[0, 0], found.images[pair], "x")
    draw_image(axes[1, 0], found.adversarials[pair], "x'")
    for column, place in enumerate(chunk, start=1):
        mark, colour = ROLE_MARKS[str(found.roles[place])]
        text = unit_name(found, place)
        # All columns have as many lines, so that the names begin at one height.
        text += "\n" * (lines - 2 - text.count("\n"))
        draw_segmented(axes[0, column], found.images[pair], found.masks[pair, place], "")
        axes[0, column].set_title(show_share(found.masks[pair, place]))
        # Points above the picture: below them stands the share.
        for said, height in ((mark, 18), (text, 29)):
            axes[0, column].annotate(
                said, (0.5, 1), xytext=(0, height), xycoords="axes fraction", textcoords="offset points", ha="center",
                va="baseline", fontsize=8, color=colour, linespacing=1.15,
            )  # fmt: skip
        share = show_share(found.adversarial_masks[pair, place])
        draw_segmented(axes[1, column], found.adversarials[pair], found.adversarial_masks[pair, place], share)
    for row in axes:
        for axis in row[len(chunk) + 1 :]:
            draw_nothing(axis)
