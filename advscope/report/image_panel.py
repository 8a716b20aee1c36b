"""The panels that figures of examples are made of: an image, a perturbation, a map."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.map_colours import map_colours


def draw_image(axis: Any, image: NDArray[Any], title: str) -> None:
    """Draw an image ``(1 or 3, H, W)`` in [0, 1], its axes in pixels."""
    _bare(axis, title)
    picture = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
    axis.imshow(picture.clip(0, 1), extent=_extent(image), interpolation="nearest")


def draw_perturbation(axis: Any, perturbation: NDArray[Any], scale: float, title: str) -> None:
    """Draw a perturbation ``(1 or 3, H, W)``: grey is no change, black and white are -``scale`` and ``scale``."""
    draw_image(axis, 0.5 + perturbation / (2 * scale or 1), title)


def draw_map(axis: Any, field: NDArray[Any], limits: tuple[float, float], title: str, smooth: bool = True) -> Any:
    """Draw a map ``(H, W)``, and return what a colour bar needs; where it is nan, it is bluish grey."""
    _bare(axis, title)
    return axis.imshow(
        np.ma.masked_invalid(field),
        cmap=map_colours(),
        vmin=limits[0],
        vmax=limits[1],
        extent=_extent(field),
        interpolation="bilinear" if smooth else "nearest",
    )


def draw_nothing(axis: Any) -> None:
    """Leave a panel free."""
    axis.set_axis_off()


def draw_scale(block: Any, drawn: Any, axes: list[Any], label: str) -> None:
    """Draw the colour bar of maps at one scale, below them."""
    bar = block.colorbar(drawn, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.03)
    bar.set_label(label)


def cell_norms(perturbation: NDArray[Any], cells: NDArray[Any]) -> NDArray[np.float64]:
    """Return the l2 norm of a perturbation ``(C, H, W)`` in each cell, ``(cells,)``.

    Example:
        >>> cell_norms(np.full((1, 2, 4), 3.0), np.array([[0, 0, 2, 2], [0, 2, 2, 4]]))
        array([6., 6.])
    """
    return np.array(
        [
            float(np.sqrt((perturbation[:, top:bottom, left:right].astype(np.float64) ** 2).sum()))
            for top, left, bottom, right in cells.astype(int)
        ]
    )


def cell_field(values: NDArray[Any], cells: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return an image ``(H, W)`` with each cell's value on its pixels, nan where no cell lies.

    Where cells overlap, the greatest of their values shows.
    """
    field = np.full(shape, np.nan)
    for value, (top, left, bottom, right) in zip(values, cells.astype(int), strict=True):
        field[top:bottom, left:right] = np.fmax(field[top:bottom, left:right], value)
    return field


def show_budget(size: float) -> str:
    """Return a size in image units as 255ths.

    Example:
        >>> show_budget(8 / 255), show_budget(0.5 / 255)
        ('8/255', '0.5/255')
    """
    return f"{size * 255:.3g}/255"


def _bare(axis: Any, title: str) -> None:
    """Leave an axis its title alone."""
    axis.set(xticks=[], yticks=[], title=title)
    axis.spines[:].set_visible(False)


def _extent(field: NDArray[Any]) -> tuple[int, int, int, int]:
    """Return the edges of a picture in pixels, its first row above."""
    return (0, field.shape[-1], field.shape[-2], 0)
