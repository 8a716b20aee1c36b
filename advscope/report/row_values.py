"""The values of a per-image measure over the images that an attack succeeded on."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advscope.intervals import Estimate, mean

Columns = Mapping[str, NDArray[Any]]
"""Per-image rows by column, as :func:`~advscope.report.image_rows.read_columns` returns them."""


class Values(NamedTuple):
    """What is known of one quantity under one attack."""

    defined: NDArray[np.float64]
    """The values of the attacked images for which it is defined, in the order of the rows."""
    undefined: int
    """Number of attacked images for which it is not."""

    def estimate(self) -> Estimate:
        """Return the mean with its 95% interval."""
        total, squares = float(self.defined.sum()), float((self.defined**2).sum())
        return mean(total, squares, len(self.defined), self.undefined)


class AttackedRows:
    """The rows of the attacked images, by attack; which rows those are is settled once.

    Args:
        columns: Every row of the evaluation; none at all, or with ``attack`` and ``attacked`` among them.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._rows: dict[str, NDArray[np.intp]] = {}
        if "attack" in columns:
            names, which = np.unique(columns["attack"], return_inverse=True)
            attacked = np.asarray(columns["attacked"], dtype=bool)
            self._rows = {str(name): np.flatnonzero(attacked & (which == place)) for place, name in enumerate(names)}

    @property
    def attacks(self) -> list[str]:
        """The attacks' names, sorted; those that succeeded on no image among them."""
        return list(self._rows)

    def values(self, attack: str, column: str) -> Values:
        """Return a column's values under an attack; none, and none undefined, where there is no such column."""
        if column not in self.columns:
            return Values(np.array([], dtype=np.float64), 0)
        found = np.asarray(self.columns[column][self._rows[attack]], dtype=np.float64)
        there = ~np.isnan(found)
        return Values(found[there], int((~there).sum()))

    def has(self, attack: str, column: str) -> bool:
        """Return whether a column was measured under an attack: another monitor may have seen other attacks only."""
        return len(self.values(attack, column).defined) > 0
