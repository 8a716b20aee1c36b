"""Which grid cells are the most significant ones."""

import math
from typing import Literal

from torch import Tensor


def significant(scores: Tensor, reading: Literal["cumulative", "count"] = "cumulative", share: float = 0.7) -> Tensor:
    """Return which cells are the "top 70% most significant" ones of each image.

    ``"cumulative"`` (footnote 3 of the paper): with the scores in ascending order, beta is the first one at which their
    running sum reaches ``1 - share`` of the total; cells with a score *above* beta are significant. A cell that holds
    more than ``share`` of the total alone is its own beta, so that none is significant.
    ``"count"``: the first ``ceil(share * m)`` cells by score, with every cell that ties with the last of them.
    Neither depends on the order of the cells.

    Args:
        scores: Scores s of the cells, ``(N, m)``, positive.
        reading: How "top 70%" is read; the paper's text allows both.
        share: The 70%, in (0, 1).

    Returns:
        bool ``(N, m)``; all false for an image with a ``nan``.

    Raises:
        ValueError: If a shape, ``reading`` or ``share`` is not allowed.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        footnote 3. https://arxiv.org/abs/1904.02057

    Example:
        >>> import torch
        >>> significant(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist()  # running sums 1, 3 >= 0.3 * 10: beta is 2
        [[False, False, True, True]]
        >>> significant(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "count").tolist()  # ceil(0.7 * 4) = 3 cells
        [[False, True, True, True]]
    """
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise ValueError(f"scores must be (N, cells) with at least one cell, got {tuple(scores.shape)}")
    if not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), got {share!r}")
    if reading not in ("cumulative", "count"):
        raise ValueError(f"reading must be 'cumulative' or 'count', got {reading!r}")
    ascending = scores.double().sort(1).values
    if reading == "count":
        kept = math.ceil(share * scores.shape[1] - 1e-9)
        chosen = scores >= ascending[:, -kept, None]
    else:
        running = ascending.cumsum(1)
        # A sum that reaches the bound up to rounding has reached it, whatever order the device adds in.
        reached = running >= (1 - share) * (1 - 1e-12) * running[:, -1:]
        chosen = scores > ascending.gather(1, reached.int().argmax(1, keepdim=True))
    return chosen & ~scores.isnan().any(1, keepdim=True)
