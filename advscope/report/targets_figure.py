"""One picture attacked towards several targets."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.report.cell_overlay import draw_cell_legend, draw_cells
from advscope.report.examples import Arrays, attacks_of
from advscope.report.figure_style import WIDTH, class_name, short_name, style, write_heading
from advscope.report.image_panel import draw_image, draw_map, draw_nothing, draw_perturbation, show_budget
from advscope.report.map_colours import common_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROWS = 12
"""Rows at most: a figure of more is not read."""

_MAP = "is/cam_adversarial_target"


def targeted_attacks(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the attacks of the form ``NAME@TARGET`` by NAME, each with all of its targets, where there are several.

    Example:
        >>> targeted_attacks(["cw@dog", "cw@ship", "pgd@dog", "ead"])
        {'cw': ['cw@dog', 'cw@ship']}
    """
    families: dict[str, list[str]] = {}
    for name in sorted(names):
        base, sign, target = name.rpartition("@")
        if sign and base and target:
            families.setdefault(base, []).append(name)
    return {base: forms for base, forms in families.items() if len(forms) > 1}


def common_picture(arrays: Arrays, attacks: Sequence[str]) -> dict[str, int]:
    """Return where the picture that most of the attacks kept stands in each that did; the least index among equals.

    Fewer than two places where no picture is an example of two attacks.
    """
    places: dict[int, dict[str, int]] = {}
    for attack in attacks:
        for place, index in enumerate(arrays[f"{attack}/indices"].tolist()):
            places.setdefault(int(index), {})[attack] = place
    if not places:
        return {}
    return places[min(places, key=lambda index: (-len(places[index]), index))]


def targets_figure(arrays: Arrays, class_names: Sequence[str] | None = None) -> "Figure":
    """Draw one picture against several targets, a row per attack and target.

    The first row is the picture x and its map F(x, t0). Every other row is x', the perturbation at the scale that its
    title states, F(x', t), and the PSR classes over it; what a monitor did not measure is left out. The picture is the
    first that the most attacks of the form ``NAME@TARGET`` succeeded on.

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        class_names: Name of each class; numbers are shown without.

    Returns:
        A figure without a window; of more than twelve rows the first twelve, which its title says.

    Raises:
        ValueError: If no picture is an example of two attacks of that form.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figures 5, A2, A4 and A5.
    """
    from matplotlib.figure import Figure

    families = targeted_attacks(attacks_of(arrays))
    places = common_picture(arrays, [attack for forms in families.values() for attack in forms])
    if len(places) < 2:
        raise ValueError("no picture is an example of two attacks NAME@TARGET; evaluate one against several targets")
    every, places = len(places), dict(list(places.items())[:_ROWS])
    first, position = next(iter(places.items()))
    label = class_name(arrays[f"{first}/labels"][position], class_names)
    maps = [arrays[f"{attack}/{_MAP}"][place] for attack, place in places.items() if f"{attack}/{_MAP}" in arrays]
    clean = arrays.get(f"{first}/is/cam_clean_label")
    limits = common_limits([*maps, *([] if clean is None else [clean[position]])])
    with style():
        figure = Figure(figsize=(WIDTH, 1.95 * (len(places) + 1) + 1.4), layout="constrained")
        of = f" (the first {len(places)} of {every})" if every > len(places) else ""
        write_heading(
            figure, f"image {int(arrays[f'{first}/indices'][position])}, {label}, against {len(places)} targets{of}"
        )
        axes = figure.subplots(len(places) + 1, 4, squeeze=False)
        short = short_name(arrays[f"{first}/labels"][position], class_names)
        draw_image(axes[0, 0], arrays[f"{first}/images"][position], f"x: {short}")
        drawn = None
        for axis in axes[0, 1:]:
            draw_nothing(axis)
        if clean is not None:
            axes[0, 2].set_axis_on()
            drawn = draw_map(axes[0, 2], clean[position], limits, f"F(x, {short})")
        for row, (attack, place) in zip(axes[1:], places.items(), strict=True):
            drawn = _draw_row(row, arrays, attack, place, limits, class_names) or drawn
        if drawn is not None:
            bar = figure.colorbar(drawn, ax=axes.flatten().tolist(), location="bottom", shrink=0.5, aspect=40)
            bar.set_label("class activation map F (at one scale)")
        if any(f"{attack}/psr/ratio" in arrays for attack in places):
            draw_cell_legend(figure)
    return figure


def _draw_row(
    row: Any,
    arrays: Arrays,
    attack: str,
    place: int,
    limits: tuple[float, float],
    class_names: Sequence[str] | None,
) -> Any:
    """Draw what one attack did to the picture, and return the drawn map, None without one."""
    base = attack.rpartition("@")[0]
    target = short_name(arrays[f"{attack}/targets"][place], class_names)
    image, adversarial = (arrays[f"{attack}/{name}"][place] for name in ("images", "adversarials"))
    perturbation = adversarial - image
    scale = float(np.abs(perturbation).max())
    draw_image(row[0], adversarial, f"{base}: {target}")
    draw_perturbation(row[1], perturbation, scale, f"x' \N{MINUS SIGN} x, \N{PLUS-MINUS SIGN}{show_budget(scale)}")
    found = arrays.get(f"{attack}/{_MAP}")
    drawn = None
    if found is None:
        draw_nothing(row[2])
    else:
        drawn = draw_map(row[2], found[place], limits, f"F(x', {target})")
    if f"{attack}/psr/ratio" not in arrays:
        draw_nothing(row[3])
        return drawn
    if found is None:
        draw_map(row[3], image.astype(np.float64).mean(0), (0.0, 1.0), "PSR over brightness", smooth=False)
    else:
        draw_map(row[3], found[place], limits, "PSR over it")
    draw_cells(row[3], arrays, attack, place)
    return drawn
