"""The four maps of an attacked image: of x and x', for the label and for the target."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from advscope.report.examples import Arrays
from advscope.report.figure_style import WIDTH, short_name, style, write_heading
from advscope.report.image_panel import draw_image, draw_map
from advscope.report.map_colours import beyond, common_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIN = "cam"
"""The name under which the maps of the monitor's main explainer stand, whatever explainer it is."""

_TITLE = 20
"""Letters that fit over a panel."""

_KINDS = {
    "clean_label": "F(x, {label})",
    "adversarial_label": "F(x', {label})",
    "clean_target": "F(x, {target})",
    "adversarial_target": "F(x', {target})",
}


def explainers_of(arrays: Arrays, attack: str) -> list[str]:
    """Return the explainers whose four maps are there, the main one (``cam``) first, then by name."""
    found = {
        match[1]
        for name in arrays
        if (match := re.fullmatch(f"{re.escape(attack)}/is/(.+)_clean_label", name))
        and all(f"{attack}/is/{match[1]}_{kind}" in arrays for kind in _KINDS)
    }
    return sorted(found, key=lambda name: (name != MAIN, name))


def map_figure(
    arrays: Arrays,
    attack: str,
    explainer: str = MAIN,
    class_names: Sequence[str] | None = None,
    attacked: int | None = None,
    examples: int = 4,
) -> "Figure":
    """Draw the four maps of each example, one row an image.

    From left to right: x, F(x, t0), F(x', t0), F(x, t), F(x', t), the four at one scale, which the colour bar beside
    them tells; t0 is the label, t the target.

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        attack: Which attack's examples.
        explainer: Whose maps, as :func:`explainers_of` names it.
        class_names: Name of each class; numbers are shown without.
        attacked: Number of attacked images that the examples are taken from, for the title.
        examples: How many to draw at most.

    Returns:
        A figure without a window; where a map is nan, it is bluish grey.

    Raises:
        ValueError: If the arrays do not hold the four maps.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figures 3 and A1.
    """
    from matplotlib.figure import Figure

    known = explainers_of(arrays, attack)
    if explainer not in known:
        there = f"it has those of {', '.join(known)}" if known else "add callbacks.InterpretabilityMonitor"
        raise ValueError(f"the arrays hold no four maps of explainer {explainer!r} for attack {attack!r}; {there}")
    images = arrays[f"{attack}/images"]
    count = min(examples, len(images))
    with style():
        figure = Figure(figsize=(WIDTH, 1.72 * count + 0.45), layout="constrained")
        of = "" if attacked is None else f" of {attacked} attacked images"
        name = "" if explainer == MAIN else f" of {explainer}"
        write_heading(
            figure, f"{attack}: maps{name} for label and target, {count} example{'s' if count > 1 else ''}{of}"
        )
        axes = figure.subplots(count, 5, squeeze=False)
        for position, row in enumerate(axes):
            _draw_row(figure, row.tolist(), arrays, (attack, explainer, position), class_names)
    return figure


def _draw_row(
    figure: "Figure", row: list[Any], arrays: Arrays, which: tuple[str, str, int], class_names: Sequence[str] | None
) -> None:
    """Draw one example."""
    attack, explainer, position = which
    label, target = (short_name(arrays[f"{attack}/{name}"][position], class_names) for name in ("labels", "targets"))
    draw_image(row[0], arrays[f"{attack}/images"][position], f"image {int(arrays[f'{attack}/indices'][position])}")
    maps = {kind: arrays[f"{attack}/is/{explainer}_{kind}"][position] for kind in _KINDS}
    limits = common_limits(maps.values())
    for axis, (kind, found) in zip(row[1:], maps.items(), strict=True):
        title = _KINDS[kind].format(label=label, target=target)
        # A long class name gets a line of its own, so that the titles of neighbours do not meet.
        drawn = draw_map(axis, found, limits, title if len(title) <= _TITLE else title.replace(", ", ",\n", 1))
    figure.colorbar(drawn, ax=row, location="right", aspect=14, pad=0.01, extend=beyond(maps.values(), limits))
