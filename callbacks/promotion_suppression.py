"""PSR of the attacked images, during training and after it."""

from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.measures import CellEffects, PromotionSuppression, grid_cells, promotion_suppression, significant
from advscope.measures.promotion_suppression import check_passes
from callbacks.batch_monitor import BatchMonitor


class PromotionSuppressionMonitor(BatchMonitor):
    """Measures what each grid cell of a perturbation does: suppress the true class, promote the target, or both.

    Logs ``{stage}/{attack}/psr/{quantity}``, the quantities of :class:`~advscope.measures.PromotionSuppression`.

    Args:
        cell_size: Side of a cell in pixels; 4 at 32 px, 13 at 224 and 299 px (D13).
        stride: Pixels from one cell to the next; null for ``cell_size``.
        floor: xi in logits; null for 1e-4 times the range of each image's logits (D13).
        chunk_size: Images in one call of the network; bounds the memory.
        every_n_epochs: As for :class:`~callbacks.BatchMonitor`.
        max_images: As for :class:`~callbacks.BatchMonitor`.
        examples: As for :class:`~callbacks.BatchMonitor`.

    Raises:
        ValueError: If the cells, the floor or the chunk size are not allowed.
    """

    measure = "psr"

    def __init__(
        self,
        cell_size: int = 4,
        stride: int | None = None,
        floor: float | None = None,
        chunk_size: int = 64,
        every_n_epochs: int = 1,
        max_images: int | None = None,
        examples: int = 6,
    ) -> None:
        super().__init__(every_n_epochs, max_images, examples)
        # Asked now: the attacks that run before the first batch is measured may take hours.
        grid_cells(1, 1, cell_size, stride)
        check_passes(floor, chunk_size)
        self.cell_size = cell_size
        self.stride = stride
        self.floor = floor
        self.chunk_size = chunk_size

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
        )

    def metric(self, network: nn.Module) -> PromotionSuppression:
        """Return an empty metric."""
        return PromotionSuppression()

    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return shares and correlations."""
        return PromotionSuppression.columns(self.effects(network, batch))

    def example_arrays(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the effects cell by cell."""
        effects = self.effects(network, batch)
        self.shared = {"cells": effects.cells.cpu()}
        per_cell = {"suppression", "promotion", "score", "ratio", "norm_l2", "norm_linf"}
        arrays = {name: value for name, value in effects._asdict().items() if name in per_cell}
        return arrays | {"significant": significant(effects.score)}
