"""Loops over units that are compiled where numba is installed: the same counts as the tensor operations, sooner.

Every step is one rounded float32 operation, in the same order as in :func:`~.bilinear.sampled`: numba fuses none
unless it is told to.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

njit: Any = None
intrinsic: Any = None
try:
    from numba import njit
    from numba.extending import intrinsic
except ImportError:  # the tensor operations serve then
    AVAILABLE = False
else:
    AVAILABLE = True
"""Whether the functions below can be called."""

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def packed(sets: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return sets of pixels ``(p, H, W)`` as bits, ``(H * words, p)``: the first pixel of a row is the lowest bit."""
    count, height, width = sets.shape
    words = -(-width // 64)
    padded = np.zeros((count, height, words * 64), np.uint8)
    padded[:, :, :width] = sets
    bits = np.packbits(padded, axis=2, bitorder="little").view("<u8")
    return np.ascontiguousarray(bits.reshape(count, height * words).T.astype(np.uint64, copy=False))


def _compiled(function: Any) -> Any:
    if njit is None:
        return function
    try:
        # Compiled once for a machine, and without the lock, so that threads count images side by side.
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # there is no place to keep it
        return njit(nogil=True)(function)


def _intrinsic(function: Any) -> Any:
    return function if intrinsic is None else intrinsic(function)


@_intrinsic
def ones_in(context: Any, word: Any) -> Any:
    """Return the number of ones in 64 bits: one instruction, which the compiler uses on several words at once."""
    return word(word), lambda _, builder, __, arguments: builder.ctpop(arguments[0])


@_compiled
def fill(bits: Any, start: int, first: int, last: int) -> None:
    """Set the bits of columns ``first`` up to ``last`` of the row whose words begin at ``start``."""
    if first >= last:  # a shift by all 64 bits means nothing to a processor
        return
    for word in range(first >> 6, (last + 63) >> 6):
        low, high = max(first - (word << 6), 0), min(last - (word << 6), 64)
        bits[start + word] |= (_ALL >> np.uint64(64 - (high - low))) << np.uint64(low)


@_compiled
def count_masks(
    maps: Any, peaks: Any, limits: Any, rows: Any, row_shares: Any, cells: Any, columns: Any, reach: Any,
    column_shares: Any, sets: Any, width: int, strict: bool, areas: Any, met: Any, flips: Any,
) -> None:  # fmt: skip
    """Count the pixels of the masks of every unit of one image, and of those of its adversarial image.

    Between two columns of the map a sampled value rises or falls from one to the other, also after rounding: the active
    pixels there are a run from the end that exceeds the threshold.

    Args:
        maps: One or two maps, float32 ``(M, K, h, w)``.
        peaks: The greatest value of each of their rows, float32 ``(M, K, h)``.
        limits: T_k, float32 ``(K,)``.
        rows: Row of the map before and after each of H rows, int64 ``(H, 2)``.
        row_shares: How far each is towards the row after, float32 ``(H,)``.
        cells: First and last (exclusive) column of the mask that lie between two columns of the map, ``(c, 2)``.
        columns: Column of the map before and after those of each cell, int64 ``(c, 2)``.
        reach: First and last (exclusive) cell next to each column of the map, int64 ``(w, 2)``.
        column_shares: How far each of W columns is towards the column after, float32 ``(W,)``.
        sets: Sets of pixels as :func:`packed` returns them.
        width: W.
        strict: A unit is active above its threshold; False: also at it.
        areas: Filled with active pixels, int64 ``(M, K)``.
        met: Filled with active pixels in each set, int64 ``(M, K, p)``.
        flips: Filled with pixels on which two masks differ, int64 ``(K,)``.
    """
    kinds, units, _, across = maps.shape
    height, words = len(rows), (width + 63) // 64
    down = np.empty(across, np.float32)
    bits = np.zeros((kinds, height * words), np.uint64)
    for unit in range(units):
        limit = limits[unit]
        if not strict and limit > -np.inf:
            # S >= T is S > the next number below T: one comparison for both.
            limit = np.nextafter(limit, np.float32(-np.inf))
        seen = False
        for kind in range(kinds):
            bits[kind] = 0
            for row in range(height):
                above, below, share = rows[row, 0], rows[row, 1], row_shares[row]
                if peaks[kind, unit, above] <= limit and peaks[kind, unit, below] <= limit:
                    continue
                seen = True
                upper, lower = maps[kind, unit, above], maps[kind, unit, below]
                if row == 0 or above != rows[row - 1, 0]:
                    # Between the same two rows of the map, all can be active between the same columns alone.
                    left, right = 0, across - 1
                    while upper[left] <= limit and lower[left] <= limit:
                        left += 1
                    while upper[right] <= limit and lower[right] <= limit:
                        right -= 1
                    begin, finish = reach[left, 0], reach[right, 1]
                    left, right = max(left - 1, 0), min(right + 2, across)
                for place in range(left, right):
                    start = upper[place]
                    down[place] = start + share * (lower[place] - start)
                begun = ended = 0  # the run so far: runs that touch are one
                for cell in range(begin, finish):
                    start, end = down[columns[cell, 0]], down[columns[cell, 1]]
                    if start <= limit and end <= limit:
                        continue
                    first, last = cells[cell, 0], cells[cell, 1]
                    step = end - start
                    if end <= limit:
                        column = first
                        while column < last and start + column_shares[column] * step > limit:
                            column += 1
                        last = column
                    elif start <= limit:
                        column = last
                        while column > first and start + column_shares[column - 1] * step > limit:
                            column -= 1
                        first = column
                    if first != ended:
                        fill(bits[kind], row * words, begun, ended)
                        begun = first
                    ended = last
                fill(bits[kind], row * words, begun, ended)
        if not seen:
            continue
        for place in range(height * words):
            for kind in range(kinds):
                word = bits[kind, place]
                if word:
                    areas[kind, unit] += ones_in(word)
                    for number in range(sets.shape[1]):
                        met[kind, unit, number] += ones_in(word & sets[place, number])
            if kinds == 2:
                flips[unit] += ones_in(bits[0, place] ^ bits[1, place])


@_compiled
def count_upper(values: Any, counts: Any) -> None:
    """Count the upper 16 bits of the order-preserving code of every value.

    Args:
        values: The bits of float32 values, uint32 ``(K, P)``.
        counts: Counts of each column, ``(K, 65536)``.
    """
    for column in range(values.shape[0]):
        for place in range(values.shape[1]):
            bits = values[column, place]
            if bits == np.uint32(0x80000000):  # -0.0 is 0.0
                bits = np.uint32(0)
            code = bits ^ (np.uint32(0xFFFFFFFF) if bits >> np.uint32(31) else np.uint32(0x80000000))
            counts[column, code >> np.uint32(16)] += 1


@_compiled
def count_lower(values: Any, bins: Any, counts: Any) -> None:
    """Count the lower 16 bits of the codes of those values whose upper 16 bits are a column's ``bins``, int64 ``(K,)``.

    Args:
        values: The bits of float32 values, uint32 ``(K, P)``.
        bins: The upper bits of each column, int64 ``(K,)``.
        counts: Counts of each column, ``(K, 65536)``.
    """
    for column in range(values.shape[0]):
        wanted = np.uint32(bins[column])
        for place in range(values.shape[1]):
            bits = values[column, place]
            if bits == np.uint32(0x80000000):
                bits = np.uint32(0)
            code = bits ^ (np.uint32(0xFFFFFFFF) if bits >> np.uint32(31) else np.uint32(0x80000000))
            if code >> np.uint32(16) == wanted:
                counts[column, code & np.uint32(0xFFFF)] += 1


@_compiled
def descend(counts: Any, ranks: Any, places: Any, rests: Any) -> bool:
    """Find in which bin the value lies that so many others of its column exceed, and how many of its bin exceed it.

    Args:
        counts: Counts of each column, ``(K, 65536)``.
        ranks: How many values exceed the wanted one, int64 ``(K,)``.
        places: Filled with the bins, int64 ``(K,)``.
        rests: Filled with the numbers inside the bins, int64 ``(K,)``.

    Returns:
        Whether every column has so many values.
    """
    for column in range(counts.shape[0]):
        rest = ranks[column]
        place = counts.shape[1] - 1
        while place >= 0 and counts[column, place] <= rest:
            rest -= counts[column, place]
            place -= 1
        if place < 0:
            return False
        places[column], rests[column] = place, rest
    return True
