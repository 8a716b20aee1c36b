"""Which way masks' pixels are counted."""

import torch

from advscope.measures.dissection.compiled import AVAILABLE
from advscope.measures.dissection.compiled_mask_counter import CompiledMaskCounter
from advscope.measures.dissection.mask_counts import MaskCounter
from advscope.measures.dissection.tiled_mask_counter import TiledMaskCounter


def mask_counter(
    units: int,
    source: tuple[int, int],
    size: tuple[int, int],
    strict: bool = True,
    align_corners: bool = False,
    device: torch.device | str = "cpu",
) -> MaskCounter:
    """Return what counts the masks' pixels of a layer's units soonest; all ways give the same counts.

    Args:
        units: K.
        source: Height and width of the maps.
        size: Height and width of the masks.
        strict: A unit is active above its threshold; False: also at it.
        align_corners: The corners of map and mask are the same places; else the borders of their pixels are.
        device: Where the maps are.

    Raises:
        ValueError: If masks have so many pixels that float32 cannot count them.
    """
    if AVAILABLE and torch.device(device).type == "cpu":
        return CompiledMaskCounter(source, size, strict, align_corners)
    return TiledMaskCounter(units, source, size, strict, align_corners, device)
