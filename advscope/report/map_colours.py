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


def common_limits(maps: Iterable[NDArray[Any]]) -> tuple[float, float]:
    """Return the least and the greatest finite value of several maps, (0, 1) where they have none.

    Example:
        >>> common_limits([np.array([1.0, np.nan]), np.array([-2.0, 0.5])])
        (-2.0, 1.0)
    """
    values = np.concatenate([np.ravel(found) for found in maps] or [np.array([])]).astype(np.float64)
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
