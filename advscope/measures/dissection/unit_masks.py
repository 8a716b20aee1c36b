"""Where a unit is active: its map, at the annotation's resolution, above its threshold."""

import torch
from torch import Tensor

from advscope.measures.dissection.bilinear import axis, sampled


@torch.no_grad()
def unit_masks(
    activations: Tensor,
    thresholds: Tensor,
    size: tuple[int, int],
    strict: bool = True,
    align_corners: bool = False,
) -> Tensor:
    """Return the masks M_k of units, bool ``(N, K, *size)``.

    Bit for bit the masks that a dissection counts. A map at another resolution lies between the least and the greatest
    value of the map that it comes from, also after rounding: a unit that is constant on an image, at just its
    threshold, is active nowhere, or where ``strict`` is false everywhere.

    Args:
        activations: Outputs of a layer, ``(N, K, h, w)``.
        thresholds: T_k of each unit, ``(K,)``.
        size: Height and width of the masks; maps are sampled bilinearly.
        strict: Active above the threshold; False: also at it, which is the letter of Xu et al. 2019, and lets a unit
            whose threshold is 0 be active everywhere.
        align_corners: The corners of map and mask are the same places; else the borders of their pixels are.

    Raises:
        ValueError: If the activations are no maps, or hold nan or infinity.
    """
    if activations.ndim != 4:
        raise ValueError(f"activations must be (N, K, h, w), got {tuple(activations.shape)}: name another layer")
    check_finite(activations)
    maps = activations.float()
    if maps.shape[-2:] != size:
        rows, columns = (
            axis(source, target, align_corners, str(maps.device))
            for source, target in zip(maps.shape[-2:], size, strict=True)
        )
        maps = sampled(maps.permute(2, 3, 0, 1), rows, columns).permute(2, 3, 0, 1)
    limits = thresholds[:, None, None]
    return maps > limits if strict else maps >= limits


def check_finite(activations: Tensor) -> None:
    """Refuse activations of which no mask can be made.

    Raises:
        ValueError: If a value is nan or infinite.
    """
    if not activations.isfinite().all():
        raise ValueError("activations hold nan or infinity, of which no mask can be made: check the network's weights")
