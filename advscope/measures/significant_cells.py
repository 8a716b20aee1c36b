"""The region of the grid cells in which a perturbation does most of its work."""

from typing import Literal

import torch
from torch import Tensor, nn

from advscope.measures.cell_logits import Forward
from advscope.measures.grid import cell_mask, check_cells
from advscope.measures.promotion_suppression import check_passes, promotion_suppression
from advscope.measures.significance import significant
from advscope.region import Region


class SignificantCells(Region):
    r"""The pixels of the most significant grid cells of a perturbation; of cells that overlap, the union.

    .. math:: S_1 = \{ i : s_i > \beta \}

    with s = d0 + dt of PSR (:func:`~advscope.measures.promotion_suppression.promotion_suppression`) and beta of
    footnote 3 (:func:`~advscope.measures.significance.significant`). Empty where PSR is undefined: the target is the
    label, as it is where an untargeted attack failed, or a logit is ``nan``; and where no score is above beta, as where
    nothing is perturbed or one cell does nearly everything.

    Args:
        cell_size: Side of a cell, in pixels; ``None`` for 4 at images of up to 64 pixels, else 13 (D13).
        stride: Pixels from one cell to the next, at most ``cell_size``; ``None`` for ``cell_size``.
        share: The 70% of "top 70%", in (0, 1).
        reading: ``"cumulative"`` (footnote 3) or ``"count"``, how "top 70%" is read.
        floor: xi, in logits, positive; ``None`` for a share of the logits' range.
        chunk_size: Images in one call of the network; bounds the memory and changes no result.
        forward: ``"auto"``, ``"partial"`` or ``"full"``, as in
            :func:`~advscope.measures.promotion_suppression.promotion_suppression`.

    Raises:
        ValueError: If a setting is not as said here.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        footnote 3 and eq. (11). https://arxiv.org/abs/1904.02057
    """

    def __init__(
        self,
        cell_size: int | None = None,
        stride: int | None = None,
        share: float = 0.7,
        reading: Literal["cumulative", "count"] = "cumulative",
        floor: float | None = None,
        chunk_size: int = 64,
        forward: Forward = "auto",
    ) -> None:
        # Asked of the functions themselves, before any attack has run.
        check_cells(cell_size, stride)
        significant(torch.ones(1, 1), reading, share)
        check_passes(floor, chunk_size, forward)
        self.cell_size = cell_size
        self.stride = stride
        self.share = share
        self.reading = reading
        self.floor = floor
        self.chunk_size = chunk_size
        self.forward = forward

    def __call__(
        self, network: nn.Module, images: Tensor, adversarials: Tensor, labels: Tensor, targets: Tensor
    ) -> Tensor:
        """Return the region of each image, bool ``(N, 1, H, W)``; see :meth:`Region.__call__`."""
        effects = promotion_suppression(
            network,
            images,
            adversarials,
            labels,
            targets,
            cell_size=self.cell_size,
            stride=self.stride,
            floor=self.floor,
            chunk_size=self.chunk_size,
            forward=self.forward,
        )
        chosen = significant(effects.score, self.reading, self.share)
        return cell_mask(chosen, effects.cells, images.shape[-2], images.shape[-1])
