"""The colours of class activation maps, and the scale that several of them share."""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

UNDEFINED = "#c9d3dd"
"""The colour of what is nan in a map."""

_STOPS = ("#5e1a04", "#a33a03", "#dd6a0a", "#f99b1f", "#fdd24f")


@cache
def map_colours() -> "Colormap":
    """Return the colours of a map, from dark brown (low) to yellow (high), ever brighter.

    White, black and grey lie over these maps, so none of them may occur in it, for no reader: a map that goes from a
    bluish to a yellowish colour, as viridis and plasma do, passes grey for a colour-blind one. This one stays on one
    side: it is at least 27 units of CIE Lab away from the three, with full colour vision and in all three kinds of
    dichromacy (jet comes as near as 8, viridis as 3).
    """
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("advscope", _STOPS).with_extremes(bad=UNDEFINED)


_MIDDLE = (0.005, 0.995)
"""Where a scale is cut off for maps of a few values far from all others."""


def common_limits(maps: Iterable[NDArray[Any]]) -> tuple[float, float]:
    """Return the limits of a scale for several maps: their least and greatest finite value, (0, 1) without any.

    Where the middle 99% of the values take less than a third of that, as in the maps of gradients pixel by pixel, the
    limits are theirs: the few values beyond would leave everything else in one colour.

    Example:
        >>> common_limits([np.array([1.0, np.nan]), np.array([-2.0, 0.5])])
        (-2.0, 1.0)
    """
    values = np.concatenate([np.ravel(found) for found in maps] or [np.array([])]).astype(np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    middle_low, middle_high = (float(value) for value in np.quantile(finite, _MIDDLE))
    # Few values, or hardly any different from 0, have no middle to speak of.
    if 0 < 3 * (middle_high - middle_low) < high - low:
        return middle_low, middle_high
    return low, high


def beyond(maps: Iterable[NDArray[Any]], limits: tuple[float, float]) -> str:
    """Return at which ends of a scale values lie beyond it, as matplotlib's colour bars name them.

    Example:
        >>> beyond([np.array([0.0, 3.0])], (0.0, 2.0)), beyond([np.array([0.0, 2.0])], (0.0, 2.0))
        ('max', 'neither')
    """
    listed = [found[np.isfinite(found)] for found in maps]
    below = any((found < limits[0]).any() for found in listed)
    above = any((found > limits[1]).any() for found in listed)
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]
