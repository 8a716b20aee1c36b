"""Dissection, class activation maps and PSR of the same image pairs, side by side."""

from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.report.cell_overlay import draw_cell_legend, fill_cells
from advscope.report.figure_style import CELL_CLASSES, WIDTH, style, write_block_heading, write_heading
from advscope.report.image_panel import draw_map, draw_nothing, draw_scale
from advscope.report.map_colours import common_limits
from advscope.report.masked_picture import draw_segmented, show_share
from advscope.report.unit_example_figure import ROLE_MARKS, check_pairs, pair_heading, unit_name
from advscope.report.unit_examples import UnitExamples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAME = 18


def unit_explanation_figure(found: UnitExamples, title: str = "", examples: int = 4) -> "Figure":
    """Draw what three explanations say of an image pair.

    Each pair is a block of two rows. Above, what the attack takes away: the unit whose mask it shrinks most, in the
    clean and in the adversarial image, the class activation map F(x, t0) and the PSR classes over it. Below, what it
    brings: the unit whose mask it grows most, F(x', t) and the PSR classes over it. The two maps have one scale.

    Args:
        found: The pairs, with maps or cells. A unit stands above if its role is ``suppressed``, below if ``promoted``;
            of several the one whose share of the image changes most in this pair.
        title: What stands over the blocks.
        examples: Image pairs at most.

    Returns:
        A figure without a window. Without maps the cells lie over the image's brightness, without cells their panels
        are left out; where no unit has a role, so are its panels.

    Raises:
        ValueError: If there is no image pair or no unit, or there are neither maps nor cells.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figure A7.
    """
    from matplotlib.figure import Figure

    check_pairs(found)
    if found.map_true is None and found.cells is None:
        raise ValueError("the examples hold neither class activation maps nor PSR; the network needs a class head")
    total = len(found.images)
    count = min(examples, total)
    with style():
        figure = Figure(figsize=(WIDTH, 0.85 + 5.3 * count), layout="constrained")
        of = f" ({count} of {total} image pairs)" if count < total else ""
        write_heading(figure, f"{title or 'Units, class activation maps and PSR of the same images'}{of}")
        for pair, block in enumerate(figure.subfigures(count, 1, squeeze=False)[:, 0]):
            _draw_pair(block, found, pair)
        if found.cells is not None:
            draw_cell_legend(figure)
    return figure


def strongest_unit(found: UnitExamples, pair: int, role: str) -> int | None:
    """Return the place of the unit of a role whose mask changes most in a pair, in the role's direction.

    Args:
        found: The pairs.
        pair: Which of them.
        role: ``suppressed`` or ``promoted``.

    Returns:
        The first of equal ones; None where no unit has the role.
    """
    places = np.flatnonzero(found.roles == role)
    if not len(places):
        return None
    grown = found.adversarial_masks[pair, places].sum((1, 2)) - found.masks[pair, places].sum((1, 2)).astype(int)
    return int(places[np.argmax(grown if role == "promoted" else -grown)])


def _draw_pair(block: Any, found: UnitExamples, pair: int) -> None:
    """Draw one pair's block."""
    write_block_heading(block, pair_heading(found, pair))
    axes = block.subplots(2, 4, squeeze=False)
    names = [_short(str(name)) for name in (found.labels[pair], found.targets[pair])]
    rows = (
        ("suppressed", found.map_true, found.images, f"F(x, {names[0]})"),
        ("promoted", found.map_target, found.adversarials, f"F(x', {names[1]})"),
    )
    maps = [each[pair] for each in (found.map_true, found.map_target) if each is not None]
    limits, drawn = common_limits(maps), None
    for row, (role, fields, pictures, name) in zip(axes, rows, strict=True):
        _draw_unit(row[:2], found, pair, role)
        if fields is not None:
            drawn = draw_map(row[2], fields[pair], limits, name)
        else:
            draw_nothing(row[2])
        if found.cells is None or found.cell_classes is None:
            draw_nothing(row[3])
            continue
        if fields is not None:
            draw_map(row[3], fields[pair], limits, "PSR over it")
        else:
            draw_map(row[3], pictures[pair].astype(np.float64).mean(0), (0.0, 1.0), "PSR over brightness", smooth=False)
        classes = [found.cell_classes[pair] == place for place in range(len(CELL_CLASSES))]
        fill_cells(row[3], found.cells, classes, pictures.shape[3])
    if drawn is not None:
        draw_scale(block, drawn, axes[1, :].tolist(), "class activation map F (at one scale)")


def _draw_unit(axes: Any, found: UnitExamples, pair: int, role: str) -> None:
    """Draw where the unit of a role responds in the clean and in the adversarial image."""
    place = strongest_unit(found, pair, role)
    if place is None:
        for axis in axes:
            draw_nothing(axis)
        return
    masks = (found.masks[pair, place], found.adversarial_masks[pair, place])
    draw_segmented(axes[0], found.images[pair], masks[0], f"x, {show_share(masks[0])}")
    draw_segmented(axes[1], found.adversarials[pair], masks[1], f"x', {show_share(masks[1])}")
    mark, colour = ROLE_MARKS[role]
    axes[0].set_xlabel(unit_name(found, place), color=colour, fontsize=8)
    axes[1].set_xlabel(mark, color=colour, fontsize=8)


def _short(name: str) -> str:
    """Return a class's name as it fits over a panel."""
    first = name.split(",")[0]
    return first if len(first) <= _NAME else f"{first[: _NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
