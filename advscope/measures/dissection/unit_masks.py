"""Where a unit is active: its map, at the annotation's resolution, above its threshold."""

from torch import Tensor
from torch.nn.functional import interpolate


def unit_masks(activations: Tensor, thresholds: Tensor, size: tuple[int, int], strict: bool = True) -> Tensor:
    """Return the masks M_k of units, bool ``(N, K, *size)``.

    An upsampled map lies between the least and the greatest value of the map that it comes from; rounding, which may
    leave a plateau by a unit in the last place, is taken back. Otherwise a unit that is constant on an image, at just
    its threshold, would be active in a pattern of rounding errors.

    Args:
        activations: Outputs of a layer, ``(N, K, h, w)``, or ``(N, K)`` where a unit has one value for the whole image.
        thresholds: T_k of each unit, ``(K,)``.
        size: Height and width of the masks; maps are upsampled bilinearly (``align_corners=False``).
        strict: Active above the threshold; False: also at it, which is the letter of Xu et al. 2019, and lets a unit
            whose threshold is 0 be active everywhere.

    Raises:
        ValueError: If the activations are neither maps nor one value a unit, or hold nan, or infinity next to a value
            that it would have to be averaged with.
    """
    if activations.ndim not in (2, 4):
        shape = tuple(activations.shape)
        raise ValueError(f"activations must be (N, K, h, w) or (N, K), got {shape}: name another layer")
    maps = activations if activations.ndim == 4 else activations[:, :, None, None]
    if maps.shape[-2:] != size:
        # In one memory format: another one has another kernel, and its own rounding.
        scaled = interpolate(maps.contiguous(), size, mode="bilinear", align_corners=False)
        maps = scaled.clamp(maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True))
    if maps.isnan().any():
        raise ValueError("activations hold nan or infinity, of which no mask can be made: check the network's weights")
    limits = thresholds[:, None, None]
    return maps > limits if strict else maps >= limits
