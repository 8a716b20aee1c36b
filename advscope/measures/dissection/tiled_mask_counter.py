"""Counts of masks' pixels by tensor operations, tile by tile; on any device."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advscope.measures.dissection.bilinear import Axis, axis, sampled
from advscope.measures.dissection.mask_counts import MaskCounts, PairCounts, check_size
from advscope.precision import full_precision

_TILE = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Units x pixels of a tile: what stays in a processor's cache; on a GPU, what keeps it busy."""

_AT_ONCE = {"cpu": 1 << 19, "cuda": 1 << 27}
"""Images x units x pixels of a tile."""

_MOST_CHOSEN = 0.7
"""Share of the units up to which those that a tile needs are picked out: picking takes as long as sampling."""

_SMALLEST = 28
"""Least side of a tile, in pixels: a tile has its own cost, on each image that it is busy on."""


class _Tile(NamedTuple):
    """A part of the masks, and the part of the maps that it is sampled from."""

    pixels: tuple[slice, slice]
    source: tuple[slice, slice]
    rows: Axis
    columns: Axis


class TiledMaskCounter:
    """Counts masks' pixels tile by tile, as :class:`~.mask_counts.MaskCounter` says.

    Units that do not exceed their threshold near a tile are skipped there: at the top 5% of activations that is most
    of the work. Which tiles there are, and which images are counted together, changes no count. Overlaps are products
    of matrices of zeros and ones.

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

    def __init__(
        self,
        units: int,
        source: tuple[int, int],
        size: tuple[int, int],
        strict: bool = True,
        align_corners: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        check_size(size)
        self.same = source == size
        self.active = torch.gt if strict else torch.ge
        kind = "cpu" if torch.device(device).type == "cpu" else "cuda"
        whole = [axis(length, target, align_corners, str(device)) for length, target in zip(source, size, strict=True)]
        side = max(_SMALLEST, round((_TILE[kind] / units) ** 0.5))
        self.at_once = max(1, _AT_ONCE[kind] // (units * min(side, *size) ** 2))
        self.tiles = [
            [self._tile(whole, (top, left), side, size) for left in range(0, size[1], side)]
            for top in range(0, size[0], side)
        ]

    def _tile(self, whole: Sequence[Axis], start: tuple[int, int], side: int, size: tuple[int, int]) -> _Tile:
        ends = [min(first + side, last) for first, last in zip(start, size, strict=True)]
        pixels = slice(start[0], ends[0]), slice(start[1], ends[1])
        (top, bottom), (left, right) = (
            (int(along.low[first]), int(along.high[last - 1]) + 1)
            for along, first, last in zip(whole, start, ends, strict=True)
        )
        source = pixels if self.same else (slice(top, bottom), slice(left, right))
        return _Tile(pixels, source, whole[0].part(start[0], ends[0]), whole[1].part(start[1], ends[1]))

    def count(self, maps: Sequence[Tensor], thresholds: Tensor, sets: Sequence[Tensor]) -> Iterator[PairCounts]:
        """Yield the counts of each image.

        Args:
            maps: One or two maps of every image, ``(N, K, h, w)``, finite, float32.
            thresholds: T_k, float32 ``(K,)``.
            sets: For each image sets of pixels, float32 0 or 1, ``(p, H, W)``.
        """
        for first in range(0, len(sets), self.at_once):
            chosen = slice(first, first + self.at_once)
            yield from self._count([each[chosen] for each in maps], thresholds, sets[chosen])

    def _count(self, maps: list[Tensor], thresholds: Tensor, sets: Sequence[Tensor]) -> list[PairCounts]:
        """Return the counts of a few images."""
        kinds, images, units = len(maps), len(sets), len(thresholds)
        # Units last: what is done to a place is done to all units, in the order in which they lie in memory.
        values = torch.stack(maps).permute(3, 4, 0, 1, 2).flatten(2)
        # A set of all pixels counts the areas.
        every = [torch.cat([each, each.new_ones(1, *each.shape[1:])]) for each in sets]
        counts = [thresholds.new_zeros(kinds, units, len(each)) for each in every]
        flips = thresholds.new_zeros(images * units)
        limits = thresholds.repeat(kinds * images)
        busy = self._busy(values, limits).unflatten(2, (kinds, images, units)).any(2).flatten(0, 1)
        _, pair_of = busy.flatten(1).nonzero(as_tuple=True)
        numbers = busy.sum(2).tolist()
        every_pair = torch.arange(images * units, device=values.device)
        start = 0
        for tile, per_image in zip([tile for line in self.tiles for tile in line], numbers, strict=True):
            pairs = pair_of[start : start + sum(per_image)]
            start += len(pairs)
            if not len(pairs):
                continue
            if len(pairs) > _MOST_CHOSEN * images * units:
                # Masks of units that do not exceed their threshold are zeros, and quicker counted than left out.
                pairs, per_image = every_pair, [units] * images
                masks = self._masks(tile, values[tile.source], limits)
            else:
                columns = torch.cat([pairs + kind * images * units for kind in range(kinds)])
                masks = self._masks(tile, values[tile.source].index_select(2, columns), limits[columns])
            for kind, part in enumerate(masks.split(len(pairs), 1)):
                at = 0
                for image, number in enumerate(per_image):
                    if number:
                        # Zeros and ones: sums that are exact in float32, in any order; autocast would round them.
                        with full_precision(masks.device.type):
                            met = every[image][:, *tile.pixels].flatten(1) @ part[:, at : at + number]
                        counts[image][kind].index_add_(0, pairs[at : at + number] - image * units, met.T)
                        at += number
            if kinds == 2:
                before, after = masks.split(len(pairs), 1)
                flips.index_add_(0, pairs, before.sub_(after).abs_().sum(0))
        return [
            PairCounts([MaskCounts(one[:, -1], one[:, :-1]) for one in each.long()], flipped if kinds == 2 else None)
            for each, flipped in zip(counts, flips.view(images, units).long(), strict=True)
        ]

    def _busy(self, values: Tensor, limits: Tensor) -> Tensor:
        """Return which maps exceed their limit somewhere near each tile, bool ``(tiles down, tiles across, maps)``."""
        down = torch.stack([values[line[0].source[0]].amax(0) for line in self.tiles])
        across = [down[:, tile.source[1]].amax(1) for tile in self.tiles[0]]
        return self.active(torch.stack(across, 1), limits)

    def _masks(self, tile: _Tile, near: Tensor, limits: Tensor) -> Tensor:
        """Return the masks of some maps on a tile, float32 0 or 1, ``(pixels, maps)``."""
        if not self.same:
            near = sampled(near, tile.rows, tile.columns)
        masks = torch.empty_like(near)
        self.active(near, limits, out=masks)
        return masks.flatten(0, 1)
