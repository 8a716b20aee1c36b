"""The correction of p-values for the number of tests."""

import math
from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Return p-values corrected by Holm's method: the chance of one or more false findings stays below the level.

    With the m p in ascending order, :math:`\tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})`. It holds
    however the tests depend on each other, as those of several N in one layer do.

    Args:
        p_values: In [0, 1]; ``nan`` where a test could not be done, which does not count as a test.

    Returns:
        In [0, 1], in the given order, at least the given p; ``nan`` where that is.

    Raises:
        ValueError: If one is outside [0, 1].

    References:
        Holm, *A Simple Sequentially Rejective Multiple Test Procedure*, Scandinavian Journal of Statistics 6, 1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    for p in p_values:
        if not (math.isnan(p) or 0 <= p <= 1):
            raise ValueError(f"p-values must be in [0, 1] or nan, got {p}")
    order = sorted((place for place, p in enumerate(p_values) if not math.isnan(p)), key=lambda place: p_values[place])
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected
