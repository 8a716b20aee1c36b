"""Maps brought to [0, 1] for a picture: a step of its own, since measures take raw maps."""

from torch import Tensor


def scaled(maps: Tensor) -> Tensor:
    r"""Return each map scaled to [0, 1] by its own lowest and highest value.

    .. math:: (F - \min F) / (\max F - \min F)

    Args:
        maps: Raw maps, float ``(..., H, W)``.

    Returns:
        Of the same shape; ``nan`` for a constant map and for one with a value that is not finite.

    Raises:
        ValueError: If the shape or type is wrong.

    Example:
        >>> import torch
        >>> scaled(torch.tensor([[[-2.0, 0.0], [1.0, 2.0]]])).tolist()
        [[[0.0, 0.5], [0.75, 1.0]]]
    """
    return _scaled(maps, (-2, -1), 2)


def scaled_jointly(maps: Tensor) -> Tensor:
    """Return the M maps of each image scaled to [0, 1] by the lowest and the highest value of all of them.

    The maps of one image are then comparable, as in fig. 3 of Xu et al. 2019 (https://arxiv.org/abs/1904.02057): clean
    and adversarial image, each for the true class and the target.

    Args:
        maps: Raw maps, float ``(..., M, H, W)``.

    Returns:
        Of the same shape; ``nan`` for an image whose maps are all one constant, or hold a value that is not finite.

    Raises:
        ValueError: If the shape or type is wrong.

    Example:
        >>> import torch
        >>> scaled_jointly(torch.tensor([[[[0.0, 1.0]], [[3.0, 4.0]]]])).tolist()
        [[[[0.0, 0.25]], [[0.75, 1.0]]]]
    """
    return _scaled(maps, (-3, -2, -1), 3)


def _scaled(maps: Tensor, over: tuple[int, ...], least: int) -> Tensor:
    if maps.ndim < least or not maps.is_floating_point():
        wanted = "(..., H, W)" if least == 2 else "(..., M, H, W)"
        raise ValueError(f"maps must be float {wanted}, got {maps.dtype} {tuple(maps.shape)}")
    if maps.numel() == 0:
        return maps.clone()
    lowest, highest = maps.amin(over, keepdim=True), maps.amax(over, keepdim=True)
    shares = (maps - lowest) / (highest - lowest)  # 0 / 0 for a constant
    finite = shares.isfinite()
    for dimension in over:
        finite = finite.all(dimension, keepdim=True)
    return shares.masked_fill(~finite, float("nan"))
