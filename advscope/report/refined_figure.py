"""Refined attacks beside the attack that they refine: where they perturb, and by how much."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.cell_overlay import draw_cell_legend, draw_cells
from advscope.report.examples import Arrays, attacks_of
from advscope.report.figure_style import WIDTH, class_name, short_name, style, write_block_heading, write_heading
from advscope.report.image_panel import draw_image, draw_map, draw_nothing, draw_perturbation, show_budget
from advscope.report.map_colours import common_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REGIONS = {"": "original", "_s1": "refined, S1", "_s2": "refined, S2"}
"""Suffix of a refined attack's name, and what it is called; S1 are the significant cells, S2 the map's mask."""

_THRESHOLD = 1e-6


def refined_families(names: Iterable[str]) -> dict[str, list[str]]:
    """Return for each attack that stands beside its refined form the names of all its forms, the original first.

    Example:
        >>> refined_families(["cw", "cw_s1", "cw_s2", "pgd", "lost_s1"])
        {'cw': ['cw', 'cw_s1', 'cw_s2']}
    """
    known = set(names)
    families = {name: [name + suffix for suffix in REGIONS if name + suffix in known] for name in sorted(known)}
    return {name: forms for name, forms in families.items() if len(forms) > 1}


def shared_examples(arrays: Arrays, attacks: Sequence[str]) -> list[dict[str, int]]:
    """Return for each image of which every attack kept an example where it stands in each, by ascending index."""
    places = [
        {int(index): place for place, index in enumerate(arrays[f"{attack}/indices"].tolist())} for attack in attacks
    ]
    common = sorted(set.intersection(*(set(found) for found in places)))
    return [dict(zip(attacks, (found[index] for found in places), strict=True)) for index in common]


def refined_figure(
    arrays: Arrays, attack: str, class_names: Sequence[str] | None = None, examples: int = 3
) -> "Figure":
    """Draw images on which an attack and its refined forms succeeded: the perturbation of each, at one scale.

    Each image is a row, x before the perturbations; the title of each perturbation gives its l0 (elements changed by
    1e-6 or more), l1, l2 and l-inf norm. Where maps and PSR are there, a second row shows x with F(x, t0), and each
    form's PSR classes over its F(x', t).

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        attack: Name of the original attack; its refined forms have the suffixes ``_s1`` and ``_s2``.
        class_names: Name of each class; numbers are shown without.
        examples: How many images to draw at most.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If there is no refined form, or no image is an example of all forms.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figures 6 and A6.
    """
    from matplotlib.figure import Figure

    forms = refined_families(attacks_of(arrays)).get(attack)
    if forms is None:
        raise ValueError(f"the arrays hold no {attack}_s1 or {attack}_s2 beside {attack!r}; evaluate refined attacks")
    shared = shared_examples(arrays, forms)[:examples]
    if not shared:
        raise ValueError(f"no image is an example of {', '.join(forms)} alike; keep more examples")
    explained = [
        form for form in forms if f"{form}/psr/ratio" in arrays and f"{form}/is/cam_adversarial_target" in arrays
    ]
    with style():
        lines = 2 if explained else 1
        figure = Figure(figsize=(WIDTH, (2.45 + 2.05 * (lines - 1)) * len(shared) + 0.85), layout="constrained")
        write_heading(
            figure,
            f"{attack} and its refined forms: {len(shared)} image{'s' if len(shared) > 1 else ''} that all attacked",
        )
        blocks = figure.subfigures(len(shared), 1, squeeze=False)[:, 0]
        for block, places in zip(blocks, shared, strict=True):
            axes = block.subplots(lines, 1 + len(forms), squeeze=False)
            _draw_perturbations(block, axes[0], arrays, places, class_names)
            if explained:
                _draw_maps(axes[1], arrays, places, explained)
        if explained:
            draw_cell_legend(figure)
    return figure


def _draw_perturbations(
    block: Any, axes: Any, arrays: Arrays, places: dict[str, int], class_names: Sequence[str] | None
) -> None:
    """Draw an image and what each form adds to it."""
    original, position = next(iter(places.items()))
    label, target = (class_name(arrays[f"{original}/{name}"][position], class_names) for name in ("labels", "targets"))
    found = {
        form: arrays[f"{form}/adversarials"][place] - arrays[f"{form}/images"][place] for form, place in places.items()
    }
    scale = max(float(np.abs(perturbation).max()) for perturbation in found.values())
    index = int(arrays[f"{original}/indices"][position])
    write_block_heading(
        block,
        f"image {index}:  {label} \N{RIGHTWARDS ARROW} {target}; perturbations at "
        f"\N{PLUS-MINUS SIGN}{show_budget(scale)}",
    )
    draw_image(
        axes[0],
        arrays[f"{original}/images"][position],
        f"x: {short_name(arrays[f'{original}/labels'][position], class_names)}",
    )
    for axis, (form, perturbation) in zip(axes[1:], found.items(), strict=True):
        kind = REGIONS[form.removeprefix(original)]
        draw_perturbation(axis, perturbation, scale, f"{kind}\n{norms_in_words(perturbation)}")


def norms_in_words(perturbation: NDArray[Any]) -> str:
    r"""Return the four norms of a perturbation, on two lines.

    Example:
        >>> norms_in_words(np.array([[[3 / 255, 0.0, -4 / 255]]]))
        'l0 2, l1 0.0275\nl2 0.0196, l∞ 4/255'
    """
    size = np.abs(perturbation.astype(np.float64))
    changed, total = int((size >= _THRESHOLD).sum()), float(size.sum())
    root, largest = float(np.sqrt((size**2).sum())), float(size.max())
    return f"l0 {changed}, l1 {total:.3g}\nl2 {root:.3g}, l\N{INFINITY} {show_budget(largest)}"


def _draw_maps(axes: Any, arrays: Arrays, places: dict[str, int], explained: Sequence[str]) -> None:
    """Draw the map of x, and each form's PSR over its own map of x', all at one scale."""
    original, position = next(iter(places.items()))
    clean = arrays.get(f"{original}/is/cam_clean_label")
    maps = {form: arrays[f"{form}/is/cam_adversarial_target"][places[form]] for form in explained}
    limits = common_limits([*maps.values(), *([] if clean is None else [clean[position]])])
    if clean is None:
        draw_nothing(axes[0])
    else:
        draw_map(axes[0], clean[position], limits, "F(x, t0)")
    for axis, form in zip(axes[1:], places, strict=True):
        if form in maps:
            draw_map(axis, maps[form], limits, "PSR over F(x', t)")
            draw_cells(axis, arrays, form, places[form])
        else:
            draw_nothing(axis)
