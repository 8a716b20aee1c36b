"""From a gradient in every colour channel to one value a pixel."""

from typing import Literal, get_args

from torch import Tensor

Channels = Literal["sum", "abs_sum", "max_abs"]
"""``sum``: the channels' sum, with its sign; ``abs_sum``: the sum of their magnitudes; ``max_abs``: the largest."""


def check_channels(channels: str) -> None:
    """Check the name of a reduction.

    Raises:
        ValueError: If there is no such reduction.
    """
    if channels not in get_args(Channels):
        raise ValueError(f"channels must be one of {', '.join(get_args(Channels))}, got {channels!r}")


def over_channels(attributions: Tensor, channels: Channels) -> Tensor:
    """Return one value a pixel, ``(..., H, W)``, of attributions ``(..., C, H, W)``."""
    if channels == "sum":
        return attributions.sum(-3)
    return attributions.abs().sum(-3) if channels == "abs_sum" else attributions.abs().amax(-3)
