"""Where a unit is active: its map, at the annotation's resolution, above its threshold."""

from torch import Tensor
from torch.nn.functional import interpolate


def unit_masks(activations: Tensor, thresholds: Tensor, size: tuple[int, int], strict: bool = True) -> Tensor:
    """Return the masks M_k of units, bool ``(N, K, *size)``.

    Args:
        activations: Outputs of a layer, ``(N, K, h, w)``, or ``(N, K)`` where a unit has one value for the whole image.
        thresholds: T_k of each unit, ``(K,)``.
        size: Height and width of the masks; maps are upsampled bilinearly (``align_corners=False``).
        strict: Active above the threshold; False: also at it, which is the letter of Xu et al. 2019, and lets a unit
            whose threshold is 0 be active everywhere.

    Raises:
        ValueError: If the activations are neither maps nor one value a unit.
    """
    if activations.ndim not in (2, 4):
        shape = tuple(activations.shape)
        raise ValueError(f"activations must be (N, K, h, w) or (N, K), got {shape}: name another layer")
    maps = activations if activations.ndim == 4 else activations[:, :, None, None]
    if maps.shape[-2:] != size:
        # In one memory format: another one has another kernel, and its own rounding.
        maps = interpolate(maps.contiguous(), size, mode="bilinear", align_corners=False)
    limits = thresholds[:, None, None]
    return maps > limits if strict else maps >= limits
