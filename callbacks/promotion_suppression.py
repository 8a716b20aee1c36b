"""PSR of the attacked images, during training and after it."""

import warnings

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.frozen import frozen
from advscope.measures import CellEffects, PromotionSuppression, promotion_suppression, significant
from advscope.measures.cell_logits import Forward, partial_forward
from advscope.measures.grid import check_cells
from advscope.measures.promotion_suppression import check_passes
from callbacks.batch_monitor import BatchMonitor


class PromotionSuppressionMonitor(BatchMonitor):
    """Measures what each grid cell of a perturbation does: suppress the true class, promote the target, or both.

    Logs ``{stage}/{attack}/psr/{quantity}``, the quantities of :class:`~advscope.measures.PromotionSuppression`. Says
    once, in a line, whether the partial or the full forward is used, and the share of the operations.

    Args:
        cell_size: Side of a cell in pixels; null for 4 at images of up to 64 px, else 13 (D13).
        stride: Pixels from one cell to the next; null for ``cell_size``.
        floor: xi in logits; null for 1e-4 times the range of each image's logits (D13).
        chunk_size: Images in one call of the network; bounds the memory.
        forward: ``auto``, ``partial`` or ``full``: how the logits of images with one cell changed are computed, as in
            :func:`~advscope.measures.promotion_suppression`.
        every_n_epochs: As for :class:`~callbacks.BatchMonitor`.
        max_images: As for :class:`~callbacks.BatchMonitor`.
        examples: As for :class:`~callbacks.BatchMonitor`.

    Raises:
        ValueError: If the cells, the floor, the chunk size or the forward are not allowed.
    """

    measure = "psr"

    def __init__(
        self,
        cell_size: int | None = None,
        stride: int | None = None,
        floor: float | None = None,
        chunk_size: int = 64,
        forward: Forward = "auto",
        every_n_epochs: int = 1,
        max_images: int | None = None,
        examples: int = 6,
    ) -> None:
        super().__init__(every_n_epochs, max_images, examples)
        # Asked now: the attacks that run before the first batch is measured may take hours.
        check_cells(cell_size, stride)
        check_passes(floor, chunk_size, forward)
        self.cell_size = cell_size
        self.stride = stride
        self.floor = floor
        self.chunk_size = chunk_size
        self.forward = forward
        self._said = False

    def effects(self, network: nn.Module, batch: AttackedBatch) -> CellEffects:
        """Return the effects of every cell of a batch."""
        return promotion_suppression(
            network,
            batch.images,
            batch.adversarials,
            batch.labels,
            batch.targets,
            cell_size=self.cell_size,
            stride=self.stride,
            floor=self.floor,
            chunk_size=self.chunk_size,
            forward=self.forward,
        )

    def metric(self, network: nn.Module) -> PromotionSuppression:
        """Return an empty metric."""
        return PromotionSuppression()

    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return shares and correlations."""
        effects = self.effects(network, batch)
        if not self._said:
            self._say(network, batch, effects)
        return PromotionSuppression.columns(effects)

    def _say(self, network: nn.Module, batch: AttackedBatch, effects: CellEffects) -> None:
        """Say which forward was used, if any cell was looked at."""
        shares = effects.operations[~effects.operations.isnan()]
        if not len(shares):
            return
        self._said = True
        with frozen(network), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when the effects were measured
            partial, line = partial_forward(network, batch.images[:1], effects.cells, self.forward)
        if partial is not None and (shares == 1).all():
            line = "full forward: the partial one failed its comparison"
        elif partial is not None:
            line = f"partial forward: {float(shares.mean()):.0%} of the operations of full ones"
        rank_zero_only(print)(f"PSR: {line}")

    def example_arrays(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the effects cell by cell."""
        effects = self.effects(network, batch)
        self.shared = {"cells": effects.cells.cpu()}
        per_cell = {"suppression", "promotion", "score", "ratio", "norm_l2", "norm_linf"}
        arrays = {name: value for name, value in effects._asdict().items() if name in per_cell}
        return arrays | {"significant": significant(effects.score)}
