"""An image segmented by a unit's mask: dark outside of it, with its outline, as NetDissect shows units."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.image_panel import draw_image

DARKNESS = 0.25
"""What is left of the brightness outside the mask."""

OUTLINE = "#ffd400"
"""The outline's colour, over a line of black: seen on bright and on dark ground."""


def at_image_size(mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask ``(h, w)`` at the size of an image ``(..., H, W)``: each pixel takes the mask's nearest position.

    Example:
        >>> at_image_size(np.array([[True, False]]), (2, 4)).tolist()
        [[True, True, False, False], [True, True, False, False]]
    """
    height, width = shape[-2:]
    rows = (np.arange(height) * 2 + 1) * mask.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * mask.shape[1] // (2 * width)
    found: NDArray[np.bool_] = np.asarray(mask, dtype=bool)[rows[:, None], columns]
    return found


def segmented(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    """Return an image ``(C, H, W)`` that is darkened outside a mask ``(h, w)``."""
    return np.where(at_image_size(mask, image.shape), image, DARKNESS * image)


def show_share(mask: NDArray[Any]) -> str:
    """Return the share of positions on which a mask is set.

    Example:
        >>> show_share(np.array([True, False, False])), show_share(np.zeros(4)), show_share(np.arange(4000) == 0)
        ('33.3%', '0%', '<0.1%')
    """
    share = 100 * float(np.asarray(mask, dtype=bool).mean())
    return "0%" if share == 0 else "<0.1%" if share < 0.1 else f"{share:.1f}%"


def draw_segmented(axis: Any, image: NDArray[Any], mask: NDArray[Any], title: str) -> None:
    """Draw an image ``(1 or 3, H, W)`` segmented by a mask ``(h, w)``, with the mask's outline."""
    draw_image(axis, segmented(image, mask), title)
    here = at_image_size(mask, image.shape)
    if not here.any() or here.all():
        return
    # A frame of nothing around the mask, so that its outline closes at the image's edge.
    framed = np.pad(here, 1).astype(float)
    rows, columns = (np.arange(-1, size + 1) + 0.5 for size in here.shape)
    for colour, width in (("#000000", 1.6), (OUTLINE, 0.8)):
        axis.contour(columns.clip(0, here.shape[1]), rows.clip(0, here.shape[0]), framed, [0.5], colors=colour,
                     linewidths=width)  # fmt: skip
    axis.set(xlim=(0, here.shape[1]), ylim=(here.shape[0], 0))
