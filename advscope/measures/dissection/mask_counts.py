"""How many pixels units' masks have, share with concepts, and differ by."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

_EXACT = 1 << 24
"""Up to here sums of ones are exact in float32."""


def check_size(size: tuple[int, int]) -> None:
    """Check the size of masks.

    Raises:
        ValueError: If they have so many pixels that float32 cannot count them.
    """
    if size[0] * size[1] >= _EXACT:
        raise ValueError(f"masks must have fewer than {_EXACT} pixels, got {size[0]} x {size[1]}: scale them down")


class MaskCounts(NamedTuple):
    """What the masks of ``K`` units on one image have, in pixels; int64."""

    areas: Tensor
    """Active pixels, ``(K,)``."""
    met: Tensor
    """Active pixels that each of ``p`` sets has, too, ``(K, p)``."""


class PairCounts(NamedTuple):
    """The counts of one image."""

    masks: list[MaskCounts]
    """Of each of the one or two maps that were given."""
    flips: Tensor | None
    """Pixels on which two masks differ, int64 ``(K,)``; None for one map."""


class MaskCounter(Protocol):
    """Counts the pixels of the masks M_k of a layer's units, and of clean and adversarial masks at once.

    There are two, which give the same counts: one compiled, one by tensor operations. Units that do not exceed their
    threshold anywhere near are skipped: at the top 5% of activations that is most of the work. Which images are counted
    together changes no count.
    """

    def count(self, maps: Sequence[Tensor], thresholds: Tensor, sets: Sequence[Tensor]) -> Iterator[PairCounts]:
        """Yield the counts of each image.

        Args:
            maps: One or two maps of every image, ``(N, K, h, w)``, finite, float32.
            thresholds: T_k, float32 ``(K,)``.
            sets: For each image sets of pixels, float32 0 or 1, ``(p, H, W)``.
        """
