"""The size of the attacked images' perturbations, during training and after it."""

from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.measures import PerturbationSizes, grid_cells, perturbation_size
from advscope.measures.perturbation_size import check_threshold
from callbacks.batch_monitor import BatchMonitor


class PerturbationSizeMonitor(BatchMonitor):
    """Measures how large the perturbations are that an attack succeeded with, and how often it did.

    Logs ``{stage}/{attack}/size/{quantity}``, the quantities of :class:`~advscope.measures.PerturbationSizes`, and
    ``{stage}/{attack}/size/success_rate``.

    Args:
        cell_size: Side of a cell in pixels: 2 at 32 px, 13 at 224 and 299 px are StrAttack's.
        stride: Pixels from one cell to the next; null for ``cell_size``.
        threshold: What counts as changed, in image units.
        every_n_epochs: As for :class:`~callbacks.BatchMonitor`.
        max_images: As for :class:`~callbacks.BatchMonitor`.

    Raises:
        ValueError: If the cells or the threshold are not allowed.
    """

    measure = "size"

    def __init__(
        self,
        cell_size: int = 2,
        stride: int | None = None,
        threshold: float = 1e-6,
        every_n_epochs: int = 1,
        max_images: int | None = None,
    ) -> None:
        super().__init__(every_n_epochs, max_images)
        # Asked now: the attacks that run before the first batch is measured may take hours.
        grid_cells(1, 1, cell_size, stride)
        check_threshold(threshold)
        self.cell_size = cell_size
        self.stride = stride
        self.threshold = threshold

    def metric(self, network: nn.Module) -> PerturbationSizes:
        """Return an empty metric."""
        return PerturbationSizes()

    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the sizes of each perturbation."""
        sizes = perturbation_size(
            batch.images, batch.adversarials, cell_size=self.cell_size, stride=self.stride, threshold=self.threshold
        )
        return PerturbationSizes.columns(sizes)
