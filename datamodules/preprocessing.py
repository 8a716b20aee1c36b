"""The settings by which an image file becomes the pixels that a network sees."""

from typing import Any, NamedTuple

INTERPOLATIONS = ("bilinear", "bicubic")
_SIZE, _INTERPOLATION = 224, "bilinear"


class Preprocessing(NamedTuple):
    """How an image file becomes the pixels that a network sees."""

    size: int
    """Side of the result, in pixels."""
    resize: int
    """Short side to which evaluation scales an image before it takes the centre."""
    interpolation: str
    """``bilinear`` or ``bicubic``."""
    min_crop_area: float
    """Smallest share of a training image's area that a random crop covers."""


def choose(
    size: int | None, resize: int | None, interpolation: str | None, min_crop_area: float, network: Any = None
) -> Preprocessing:
    """Return the settings: those given, and for the others the network's own or the usual ones.

    ``size`` decides whom the other two follow. Null asks the network, whose ``preprocessing`` has ``size``, ``resize``
    and ``interpolation``; one without it gets 224. With a size of one's own, or without a network's, null ``resize`` is
    8/7 of the size (256 for 224, 342 for 299) and null ``interpolation`` bilinear.

    Args:
        size: Side of the result, in pixels; None for the network's own.
        resize: Short side before the centre is taken, in pixels, or None.
        interpolation: ``bilinear`` or ``bicubic``, or None.
        min_crop_area: Smallest share of a training image's area that a random crop covers.
        network: The network that will see the images, if it is known.

    Raises:
        ValueError: If a setting is out of range.
    """
    own = getattr(network, "preprocessing", None) if size is None else None
    if own is not None:
        size, resize = int(own.size), int(own.resize) if resize is None else resize
        interpolation = str(own.interpolation) if interpolation is None else interpolation
    size = _SIZE if size is None else size
    resize = round(size * 8 / 7) if resize is None else resize
    interpolation = _INTERPOLATION if interpolation is None else interpolation
    of_network = " (some of these are the network's own: set size, resize and interpolation)" if own is not None else ""
    if not 1 <= size <= resize:
        raise ValueError(f"size must be in 1 ... resize ({resize}), got {size}{of_network}")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be bilinear or bicubic, got {interpolation}{of_network}")
    if not 0 < min_crop_area <= 1:
        raise ValueError(f"min_crop_area must be in (0, 1], got {min_crop_area}")
    return Preprocessing(size, resize, interpolation, min_crop_area)
