"""Where a heatmap is high: the binary mask that IS and the region of salient pixels share."""

import math

from torch import Tensor


def salient_mask(heatmaps: Tensor, quantile: float = 0.7) -> Tensor:
    r"""Return where each heatmap is at or above a quantile of its own values.

    .. math:: B_i = 1[F_i \ge \nu]

    with nu the ``quantile`` of that image's own heatmap F: of its P values in ascending order the one that has
    ``ceil(quantile * P)`` before it. Without ties the mask holds ``floor((1 - quantile) * P)`` positions (at least
    one); positions that tie with nu are in it. Only the order of a heatmap's values matters.

    Args:
        heatmaps: Raw maps of any scale, float ``(N, H, W)``.
        quantile: Share of positions below the mask, in [0, 1).

    Returns:
        bool ``(N, H, W)``; all false for a heatmap with a ``nan``.

    Raises:
        ValueError: If the shape or type is wrong, or ``quantile`` out of range.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (5). https://arxiv.org/abs/1904.02057

    Example:
        >>> import torch
        >>> salient_mask(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])).tolist()
        [[[False, False], [False, True]]]
    """
    if heatmaps.ndim != 3 or not heatmaps.is_floating_point():
        raise ValueError(f"heatmaps must be float (N, H, W), got {heatmaps.dtype} {tuple(heatmaps.shape)}")
    check_quantile(quantile)
    values = heatmaps.detach().flatten(1)
    positions = values.shape[1]
    # The small number keeps 0.7 * 30 at 21 where floats make it a little more.
    below = min(math.ceil(quantile * positions - 1e-9), positions - 1)
    mask = values >= values.kthvalue(below + 1, dim=1, keepdim=True).values
    return (mask & ~values.isnan().any(1, keepdim=True)).view(heatmaps.shape)


def check_quantile(quantile: float) -> None:
    """Raise unless a quantile is in [0, 1).

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(quantile, int | float) or not 0 <= quantile < 1:
        raise ValueError(f"quantile must be in [0, 1), got {quantile!r}")
