"""Exact order statistics of many columns in two passes, whatever the order, the batches and the processes."""

from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor

from advscope.measures.dissection import compiled
from advscope.processes import highest, summed

BINS = 1 << 16
"""Bins per column in each pass: one for each value of 16 bits."""

_MOST = (1 << 31) - 1

_AT_ONCE = 1 << 20
"""Values coded at once: their places take twice their memory."""


_SUMMED = 64
"""Columns whose counts are added up over processes at once."""


class Bins(NamedTuple):
    """Where the first pass found the order statistic of each of ``K`` columns."""

    place: Tensor
    """The upper 16 bits of its code, int64 ``(K,)``."""
    rank: Tensor
    """How many values of that bin are greater, int64 ``(K,)``."""


def order_code(values: Tensor) -> Tensor:
    """Return an integer code of float32 values that has their order, int64 in [0, 2**32), same shape; -0.0 is 0.0.

    Example:
        >>> codes = order_code(torch.tensor([-torch.inf, -1.0, -0.0, 0.0, 1e-45, torch.inf]))
        >>> (codes.diff() > 0).tolist()
        [True, True, False, True, True]
    """
    return _signed_code(values).long() + (1 << 31)


def _signed_code(values: Tensor) -> Tensor:
    """Return the code less 2**31, int32: as fast as integers of four bytes are."""
    bits = (values.float() + 0.0).view(torch.int32)
    # Negative numbers are stored as sign and magnitude: the greater the magnitude, the lower the code.
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def from_order_code(codes: Tensor) -> Tensor:
    """Return the float32 values of codes that :func:`order_code` made."""
    return torch.where(codes >= 1 << 31, codes - (1 << 31), -1 - codes).to(torch.int32).view(torch.float32)


def allowed_above(quantile: float, count: int) -> int:
    """Return floor(quantile * count), exactly: 0.29 of 100 are 29, which floating point would make 28.

    Example:
        >>> allowed_above(0.29, 100), int(0.29 * 100)
        (29, 28)
    """
    return int(Fraction(str(quantile)) * count)


class TopQuantile:
    """The top quantile of every column of a stream of values, exactly, in two passes.

    The threshold is the smallest value that at most floor(q n) of a column's n values exceed: its (floor(q n) + 1)-th
    largest. The first pass counts the upper 16 bits of every value's order-preserving code, the second the lower 16
    bits within the bin that the first one found. Counts add up, so that neither order, nor batches, nor processes
    matter; memory is 256 KiB a column (512 KiB beyond 2**31 values), whatever n is.

    Use: :meth:`count` all values, :meth:`locate`, :meth:`count` all values again, :meth:`thresholds`.

    Args:
        columns: K, the number of columns.
        quantile: q, in (0, 1).
        device: Where the values are.

    Raises:
        ValueError: If ``quantile`` is not in (0, 1), or there are no columns.
    """

    def __init__(self, columns: int, quantile: float, device: torch.device | str = "cpu") -> None:
        if not 0 < quantile < 1:
            raise ValueError(f"quantile must be in (0, 1), got {quantile}")
        if columns < 1:
            raise ValueError(f"columns must be at least 1, got {columns}")
        self.columns = columns
        self.quantile = quantile
        self.bins: Bins | None = None
        self.values = 0
        self.total = 0
        self.counts = torch.zeros(columns * BINS, dtype=torch.int32, device=device)
        self.maximum = torch.full((columns,), -torch.inf, device=device)

    def count(self, values: Tensor) -> None:
        """Count values, float32 ``(K, P)``: ``P`` further ones of every column.

        Raises:
            ValueError: If the shape is another, or a value is nan.
        """
        if values.ndim != 2 or len(values) != self.columns:
            raise ValueError(f"values must be ({self.columns}, P), got {tuple(values.shape)}")
        if not values.shape[1]:
            return
        greatest = values.amax(1)  # nan where one of them is
        if greatest.isnan().any():
            wrong = int(greatest.isnan().nonzero()[0])
            raise ValueError(f"values of column {wrong} hold nan, which has no place in their order")
        self.values += values.shape[1]
        if self.values > _MOST and self.counts.dtype == torch.int32:
            self.counts = self.counts.long()
        if self.bins is None:
            self.maximum = self.maximum.maximum(greatest)
        if self._compiled:
            self._count_compiled(values)
            return
        # A column's bins fit into a processor's cache, those of all columns do not: column by column.
        at_once = max(1, _AT_ONCE // values.shape[1])
        for first in range(0, self.columns, at_once):
            part = values[first : first + at_once].float()
            self._add(self._upper(part, first) if self.bins is None else self._lower(part, first, self.bins))

    def _count_compiled(self, values: Tensor) -> None:
        """Count values by compiled loops."""
        bits = values.float().contiguous().view(torch.int32).numpy().view("uint32")
        counts = self.counts.view(self.columns, BINS).numpy()
        if self.bins is None:
            compiled.count_upper(bits, counts)
        else:
            compiled.count_lower(bits, self.bins.place.numpy(), counts)

    def _upper(self, values: Tensor, first: int) -> Tensor:
        """Return the bins of the upper 16 bits of the values of some columns."""
        starts = torch.arange(first, first + len(values), device=values.device)[:, None] * BINS + BINS // 2
        return (starts + (_signed_code(values) >> 16)).flatten()

    def _lower(self, values: Tensor, first: int, bins: Bins) -> Tensor:
        """Return the bins of the lower 16 bits of those values that the first pass found the statistic among."""
        codes = _signed_code(values)
        here = bins.place[first : first + len(values), None] - BINS // 2
        column, place = (codes >> 16 == here).nonzero(as_tuple=True)
        return (column + first) * BINS + (codes[column, place].long() & 0xFFFF)

    def _add(self, places: Tensor) -> None:
        self.counts.scatter_add_(0, places, torch.ones_like(places, dtype=self.counts.dtype))

    def locate(self) -> None:
        """End the first pass: find each column's bin, over all processes.

        Raises:
            ValueError: If no value was counted.
        """
        count = self._values_of_all()
        if not count:
            raise ValueError("there are no values to take a quantile of; give at least one image")
        if count > _MOST:
            self.counts = self.counts.long()
        self.maximum = highest(self.maximum)
        rank = torch.full((self.columns,), allowed_above(self.quantile, count), device=self.counts.device)
        self.bins = self._descend(rank)
        self.values, self.total = 0, count
        self.counts.zero_()

    def thresholds(self) -> Tensor:
        """Return the thresholds, float32 ``(K,)``, over all processes; ends the second pass.

        Raises:
            ValueError: If :meth:`locate` was not called, or the second pass saw other values than the first.
        """
        if self.bins is None:
            raise ValueError("thresholds need two passes: call locate() after the first")
        if (count := self._values_of_all()) != self.total:
            raise ValueError(
                f"the second pass saw other values than the first ({count} and {self.total}): the batches must be the"
                " same twice"
            )
        low = self._descend(self.bins.rank)
        return from_order_code((self.bins.place << 16) + low.place)

    def _values_of_all(self) -> int:
        """Return how many values all processes have counted in this pass."""
        return int(summed(torch.tensor(self.values, device=self.counts.device)))

    def _descend(self, rank: Tensor) -> Bins:
        """Return in which bin the value lies that ``rank`` others exceed, and how many of its bin exceed it."""
        parts = []
        per_column = self.counts.view(self.columns, BINS)
        # A few columns at a time: a sum over processes is a copy, and running sums take twice the memory of counts.
        for first in range(0, self.columns, _SUMMED):
            counts = summed(per_column[first : first + _SUMMED])
            wanted = rank[first : first + _SUMMED]
            found = self._found_compiled(counts, wanted) if self._compiled else self._found(counts, wanted)
            if found is None:
                raise ValueError("the second pass saw other values than the first: the batches must be the same twice")
            parts.append(found)
        return Bins(*(torch.cat(column) for column in zip(*parts, strict=True)))

    @property
    def _compiled(self) -> bool:
        """Whether compiled loops can be used: they give the same, sooner."""
        return compiled.AVAILABLE and self.counts.device.type == "cpu"

    @staticmethod
    def _found(counts: Tensor, rank: Tensor) -> Bins | None:
        """Return the bins of some columns; None where a column has too few values."""
        places, ranks = [], []
        for column, above in zip(counts, rank.tolist(), strict=True):
            running = column.flip(0).cumsum(0, dtype=torch.int64)
            if above >= int(running[-1]):
                return None
            place = int(torch.searchsorted(running, above, right=True))
            places.append(BINS - 1 - place)
            ranks.append(above - (int(running[place - 1]) if place else 0))
        return Bins(*(torch.tensor(found, dtype=torch.int64, device=counts.device) for found in (places, ranks)))

    @staticmethod
    def _found_compiled(counts: Tensor, rank: Tensor) -> Bins | None:
        """Return the same by compiled loops."""
        bins = Bins(torch.zeros_like(rank), torch.zeros_like(rank))
        enough = compiled.descend(counts.numpy(), rank.numpy(), bins.place.numpy(), bins.rank.numpy())
        return bins if enough else None
