"""Adversarial examples: the images, the perturbation, the class activation maps, and PSR over them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from advscope.report.cell_overlay import draw_cell_legend, draw_cells
from advscope.report.examples import Arrays
from advscope.report.figure_style import WIDTH, class_name, short_name, style, write_block_heading, write_heading
from advscope.report.image_panel import (
    cell_field,
    cell_norms,
    draw_image,
    draw_map,
    draw_nothing,
    draw_perturbation,
    draw_scale,
    show_budget,
)
from advscope.report.map_colours import common_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAPS = {"cam_clean_label": "F(x, {label})", "cam_adversarial_target": "F(x', {target})"}


def example_figure(
    arrays: Arrays,
    attack: str,
    class_names: Sequence[str] | None = None,
    attacked: int | None = None,
    examples: int = 4,
) -> "Figure":
    """Draw attacked images with what explains them.

    Each example is a block: above, the image x, the adversarial image x', the perturbation at a scale that its title
    states, and its l2 norm in each cell; below, the maps of x for the label and of x' for the target at one scale, and
    over each of them the classes of the significant cells: white suppression, black promotion, grey balance. Without
    maps the classes lie over the image's brightness. What a monitor did not measure is left out.

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        attack: Which attack's examples.
        class_names: Name of each class; numbers are shown without.
        attacked: Number of attacked images that the examples are taken from, for the title.
        examples: How many to draw at most.

    Returns:
        A figure without a window; :func:`~advscope.report.figure_style.save_figure` writes it.

    Raises:
        ValueError: If there are no examples of the attack, or images have neither 1 nor 3 channels.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figures 1, 4 and 5.
    """
    from matplotlib.figure import Figure

    images = arrays.get(f"{attack}/images")
    if images is None or not len(images):
        raise ValueError(f"the arrays hold no example of attack {attack!r}; run it on images that it succeeds on")
    if images.shape[1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels to be drawn, got {images.shape[1]}")
    count = min(examples, len(images))
    with_maps = all(f"{attack}/is/{name}" in arrays for name in _MAPS)
    with_cells = f"{attack}/psr/ratio" in arrays
    with style():
        figure = Figure(figsize=(WIDTH, count * (4.75 if with_maps else 2.3) + 0.85), layout="constrained")
        of = "" if attacked is None else f" of {attacked} attacked images"
        write_heading(figure, f"{attack}: {count} example{'s' if count > 1 else ''}{of}")
        blocks = figure.subfigures(count, 1, squeeze=False)[:, 0]
        for position, block in enumerate(blocks):
            _draw_example(block, arrays, attack, position, class_names, (with_maps, with_cells))
        if with_cells:
            draw_cell_legend(figure)
    return figure


def _draw_example(
    block: Any,
    arrays: Arrays,
    attack: str,
    position: int,
    class_names: Sequence[str] | None,
    contents: tuple[bool, bool],
) -> None:
    """Draw one example's block."""
    with_maps, with_cells = contents
    classes = [arrays[f"{attack}/{name}"][position] for name in ("labels", "targets")]
    label, target = (class_name(which, class_names) for which in classes)
    index = int(arrays[f"{attack}/indices"][position])
    write_block_heading(block, f"image {index}:  {label} \N{RIGHTWARDS ARROW} {target}")
    label, target = (short_name(which, class_names) for which in classes)
    axes = block.subplots(2 if with_maps else 1, 4, squeeze=False)
    image, adversarial = (arrays[f"{attack}/{name}"][position] for name in ("images", "adversarials"))
    perturbation = adversarial - image
    largest = float(np.abs(perturbation).max())
    draw_image(axes[0, 0], image, f"x: {label}")
    draw_image(axes[0, 1], adversarial, f"x': {target}")
    draw_perturbation(
        axes[0, 2],
        perturbation,
        largest,
        f"x' \N{MINUS SIGN} x, \N{PLUS-MINUS SIGN}{show_budget(largest)}",
    )
    if with_cells and with_maps:
        norms = cell_field(cell_norms(perturbation, arrays["psr/cells"]), arrays["psr/cells"], image.shape[1:])
        limits = (0.0, float(np.nanmax(norms, initial=0)))
        draw_map(axes[0, 3], norms, limits, f"l2 norm, 0 to {limits[1]:.3g}", smooth=False)
    elif with_cells:
        brightness = image.astype(np.float64).mean(0)
        draw_map(axes[0, 3], brightness, (0.0, 1.0), "PSR over brightness", smooth=False)
        draw_cells(axes[0, 3], arrays, attack, position)
    else:
        draw_nothing(axes[0, 3])
    if not with_maps:
        return
    maps = {name: arrays[f"{attack}/is/{name}"][position] for name in _MAPS}
    limits = common_limits(maps.values())
    for place, (name, found) in enumerate(maps.items()):
        title = _MAPS[name].format(label=label, target=target)
        drawn = draw_map(axes[1, 2 * place], found, limits, title)
        if with_cells:
            draw_map(axes[1, 2 * place + 1], found, limits, "PSR over it")
            draw_cells(axes[1, 2 * place + 1], arrays, attack, position)
        else:
            draw_nothing(axes[1, 2 * place + 1])
    draw_scale(block, drawn, axes[1, :].tolist(), "class activation map F (at one scale)")
