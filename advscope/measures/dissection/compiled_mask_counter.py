"""Counts of masks' pixels by compiled loops, on processors where numba is installed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advscope.measures.dissection.bilinear import axis
from advscope.measures.dissection.compiled import count_masks, packed
from advscope.measures.dissection.mask_counts import MaskCounts, PairCounts


class CompiledMaskCounter:
    """Counts masks' pixels unit by unit, as :class:`~.mask_counts.MaskCounter` says.

    As many images at once as torch has threads.

    Args:
        source: Height and width of the maps.
        size: Height and width of the masks.
        strict: A unit is active above its threshold; False: also at it.
        align_corners: The corners of map and mask are the same places; else the borders of their pixels are.
    """

    def __init__(
        self, source: tuple[int, int], size: tuple[int, int], strict: bool = True, align_corners: bool = False
    ) -> None:
        down, across = (axis(*lengths, align_corners) for lengths in zip(source, size, strict=True))
        rows, columns = (torch.stack([places.low, places.high], 1).numpy() for places in (down, across))
        # Columns of the mask that lie between the same two of the map follow each other.
        starts = np.flatnonzero(np.append(True, (np.diff(columns, axis=0) != 0).any(1)))
        cells = np.stack([starts, np.append(starts[1:], size[1])], 1)
        columns, places = columns[starts], np.arange(source[1])
        # Cells that have a column of the map at their end.
        reach = np.stack([columns[:, 1].searchsorted(places), columns[:, 0].searchsorted(places, side="right")], 1)
        self.places = rows, down.share.numpy(), cells, columns, reach, across.share.numpy()
        self.width, self.strict = size[1], strict

    def count(self, maps: Sequence[Tensor], thresholds: Tensor, sets: Sequence[Tensor]) -> Iterator[PairCounts]:
        """Yield the counts of each image.

        Args:
            maps: One or two maps of every image, ``(N, K, h, w)``, finite, float32.
            thresholds: T_k, float32 ``(K,)``.
            sets: For each image sets of pixels, float32 0 or 1, ``(p, H, W)``.
        """
        limits = thresholds.numpy()
        given = [(torch.stack([each[image] for each in maps]), one) for image, one in enumerate(sets)]
        threads = min(torch.get_num_threads(), len(given))
        if threads < 2:
            yield from (self._count(values, limits, one) for values, one in given)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(lambda pair: self._count(pair[0], limits, pair[1]), given)

    def _count(self, maps: Tensor, limits: NDArray[np.float32], sets: Tensor) -> PairCounts:
        """Return the counts of one image."""
        kinds, units = maps.shape[:2]
        areas = np.zeros((kinds, units), np.int64)
        met = np.zeros((kinds, units, len(sets)), np.int64)
        flips = np.zeros(units, np.int64)
        values, peaks = maps.contiguous().numpy(), maps.amax(3).contiguous().numpy()
        bits = packed(sets.numpy())
        count_masks(values, peaks, limits, *self.places, bits, self.width, self.strict, areas, met, flips)
        masks = [MaskCounts(torch.from_numpy(areas[kind]), torch.from_numpy(met[kind])) for kind in range(kinds)]
        return PairCounts(masks, torch.from_numpy(flips) if kinds == 2 else None)
