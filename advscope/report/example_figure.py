"""Adversarial examples: the images, the perturbation, the class activation maps, and PSR over them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.examples import Arrays
from advscope.report.figure_style import CELL_CLASSES, WIDTH, class_name, classify, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAPS = {
    "cam_clean_label": "F(x, {label})",
    "cam_clean_target": "F(x, {target})",
    "cam_adversarial_label": "F(x', {label})",
    "cam_adversarial_target": "F(x', {target})",
}


def example_figure(
    arrays: Arrays,
    attack: str,
    class_names: Sequence[str] | None = None,
    attacked: int | None = None,
    examples: int = 4,
) -> "Figure":
    """Draw attacked images with what explains them.

    Each example is a block: above, the image x, the adversarial image x', the perturbation at a scale that its title
    states, and the cells' PSR classes; below, the class activation maps of x and x' for the label and the target, the
    four at one scale, with a mark on every significant cell. What a monitor did not measure is left out.

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
        https://arxiv.org/abs/1904.02057, Figures 2 to 4.
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
    rows = 2 if with_maps else 1
    with style():
        figure = Figure(figsize=(WIDTH, count * (4.75 if with_maps else 2.4) + 0.75), layout="constrained")
        of = "" if attacked is None else f" of {attacked} attacked images"
        figure.suptitle(f"{attack}: {count} example{'s' if count > 1 else ''}{of}", fontweight="bold")
        blocks = figure.subfigures(count, 1, squeeze=False)[:, 0]
        for position, block in enumerate(blocks):
            _draw_example(block, arrays, attack, position, class_names, (rows, with_maps, with_cells))
        if with_cells:
            _draw_legend(figure)
    return figure


def _draw_example(
    block: Any,
    arrays: Arrays,
    attack: str,
    position: int,
    class_names: Sequence[str] | None,
    contents: tuple[int, bool, bool],
) -> None:
    """Draw one example's block."""
    rows, with_maps, with_cells = contents
    label, target = (class_name(arrays[f"{attack}/{name}"][position], class_names) for name in ("labels", "targets"))
    block.suptitle(f"image {int(arrays[f'{attack}/indices'][position])}:  {label} \N{RIGHTWARDS ARROW} {target}")
    axes = block.subplots(rows, 4, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    image, adversarial = (arrays[f"{attack}/{name}"][position] for name in ("images", "adversarials"))
    perturbation = adversarial - image
    largest = float(np.abs(perturbation).max())
    extent = (0, image.shape[2], image.shape[1], 0)
    shown = (image, adversarial, 0.5 + perturbation / (2 * largest or 1))
    titles = (f"x: {label}", f"x': {target}", f"x' \N{MINUS SIGN} x, \N{PLUS-MINUS SIGN}{show_budget(largest)}")
    for axis, picture, title in zip(axes[0], shown, titles, strict=False):
        axis.imshow(_picture(picture), extent=extent, interpolation="nearest")
        axis.set_title(title)
    if with_cells:
        axes[0, 3].imshow(_picture(image).mean(2), cmap="gray", vmin=-1, vmax=1.4, extent=extent)
        axes[0, 3].set_title("PSR classes")
        _draw_cells(axes[0, 3], arrays, attack, position, filled=True)
    else:
        axes[0, 3].set_axis_off()
    if with_maps:
        maps = {name: arrays[f"{attack}/is/{name}"][position] for name in _MAPS}
        low, high = (float(function([function(found) for found in maps.values()])) for function in (np.min, np.max))
        for axis, (name, found) in zip(axes[1], maps.items(), strict=True):
            drawn = axis.imshow(found, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bilinear")
            axis.set_title(_MAPS[name].format(label=label, target=target))
            if with_cells:
                _draw_cells(axis, arrays, attack, position, filled=False)
        bar = block.colorbar(drawn, ax=axes[1, :].tolist(), location="bottom", shrink=0.5, aspect=40, pad=0.03)
        bar.set_label("class activation map F (the four at one scale)")


def _draw_cells(axis: Any, arrays: Arrays, attack: str, position: int, filled: bool) -> None:
    """Draw the significant cells' classes: as hatched rectangles, or as marks in their middle."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cells = arrays["psr/cells"].astype(float)
    ratios, significant = (arrays[f"{attack}/psr/{name}"][position] for name in ("ratio", "significant"))
    # A mark is as large as its cell allows: a panel is some 1.6 inches wide, that is 115 points.
    side = float((cells[:, 3] - cells[:, 1]).max()) / arrays[f"{attack}/images"].shape[3] * 115 if len(cells) else 1.0
    for kind, here in zip(CELL_CLASSES, classify(ratios, significant), strict=True):
        chosen = cells[here]
        if not len(chosen):
            continue
        if filled:
            boxes = [Rectangle((left, top), right - left, bottom - top) for top, left, bottom, right in chosen]
            hatch = kind.hatch if side > 8 else None
            axis.add_collection(
                PatchCollection(boxes, facecolor=kind.colour, edgecolor="white", linewidth=0.5, hatch=hatch)
            )
            continue
        middles = (chosen[:, 1] + chosen[:, 3]) / 2, (chosen[:, 0] + chosen[:, 2]) / 2
        size = min(0.5 * side, 6.5) ** 2
        axis.scatter(
            *middles, s=size, c=kind.colour, marker=kind.marker, edgecolors="white", linewidths=0.08 * side**0.7
        )


def _draw_legend(figure: "Figure") -> None:
    """Say what the marks and the hatchings mean."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    labels = ("suppression (r < \N{MINUS SIGN}1)", "promotion (r > 1)", "balance (|r| \N{LESS-THAN OR EQUAL TO} 1)")
    handles: list[Any] = [
        (
            Patch(facecolor=kind.colour, edgecolor="white", hatch=kind.hatch),
            Line2D(
                [],
                [],
                marker=kind.marker,
                color="none",
                markerfacecolor=kind.colour,
                markeredgecolor="white",
                markersize=9,
            ),
        )
        for kind in CELL_CLASSES
    ]
    figure.legend(
        handles,
        labels,
        handler_map={tuple: HandlerTuple(ndivide=None)},
        handlelength=3.2,
        loc="outside lower center",
        ncols=3,
        title="PSR of the significant cells",
    )


def _picture(image: NDArray[Any]) -> NDArray[Any]:
    """Return ``(C, H, W)`` as ``(H, W, 3)`` in [0, 1]."""
    picture: NDArray[Any] = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
    return picture.clip(0, 1)


def show_budget(size: float) -> str:
    """Return a size in image units as 255ths.

    Example:
        >>> show_budget(8 / 255), show_budget(0.5 / 255)
        ('8/255', '0.5/255')
    """
    return f"{size * 255:.3g}/255"
