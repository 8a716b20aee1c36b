"""The images to which units respond most."""

from typing import TYPE_CHECKING

from advscope.report.figure_style import WIDTH, style, write_block_heading, write_heading
from advscope.report.image_panel import draw_nothing
from advscope.report.masked_picture import draw_segmented
from advscope.report.top_images import TopImages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNITS = 12
_IMAGES = 7


def top_image_figure(found: TopImages, title: str = "") -> "Figure":
    """Draw the images with the largest activations of each unit, one row a unit, darkened where it is not active.

    Args:
        found: The images; the first twelve units and seven images of each are drawn.
        title: What stands over the rows.

    Returns:
        A figure without a window. Over each image stands the unit's largest activation in it.

    Raises:
        ValueError: If there is no unit or no image, or images have neither 1 nor 3 channels.

    References:
        Bau et al., *Network Dissection: Quantifying Interpretability of Deep Visual Representations*, CVPR 2017,
        https://arxiv.org/abs/1704.05796, Figure 3.
    """
    from matplotlib.figure import Figure

    units, images = min(_UNITS, len(found.images)), min(_IMAGES, found.images.shape[1])
    if not units or not images:
        raise ValueError(
            "the file of top images holds none; set top_images of callbacks.DissectionMonitor to 1 or more"
        )
    if found.images.shape[2] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels to be drawn, got {found.images.shape[2]}")
    with style():
        figure = Figure(figsize=(WIDTH, 0.5 + units * (0.65 + WIDTH / (images + 0.5))), layout="constrained")
        of = f" ({units} of {len(found.images)} units)" if units < len(found.images) else ""
        write_heading(figure, f"{title or 'Images with the largest activations'}{of}")
        for place, block in enumerate(figure.subfigures(units, 1, squeeze=False)[:, 0]):
            concept = str(found.concepts[place])
            named = f"{concept}-{found.categories[place]}" if concept else "no concept"
            write_block_heading(block, f"{found.layers[place]} {int(found.units[place])}: {named}")
            for rank, axis in enumerate(block.subplots(1, images, squeeze=False)[0]):
                if found.indices[place, rank] < 0:
                    draw_nothing(axis)
                    continue
                value = f"{float(found.values[place, rank]):.3g}"
                draw_segmented(axis, found.images[place, rank], found.masks[place, rank], value)
    return figure
