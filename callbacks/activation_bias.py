"""Layerwise activation bias of the attacked images, during training and after it."""

from collections.abc import Sequence

from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.layers import blocks
from advscope.measures import ActivationBias, activation_bias
from callbacks.batch_monitor import BatchMonitor


class ActivationBiasMonitor(BatchMonitor):
    """Measures how far an attack moves the activations of each layer.

    Logs ``{stage}/{attack}/bias/{layer}/raw`` and ``.../relative``; see :class:`~advscope.measures.ActivationBias`.

    Args:
        layers: Names of submodules; null for every block.
        every_n_epochs: As for :class:`~callbacks.BatchMonitor`.
        max_images: As for :class:`~callbacks.BatchMonitor`.
    """

    measure = "bias"

    def __init__(
        self, layers: Sequence[str] | None = None, every_n_epochs: int = 1, max_images: int | None = None
    ) -> None:
        super().__init__(every_n_epochs, max_images)
        self.layers = None if layers is None else list(layers)

    def names(self, network: nn.Module) -> list[str]:
        """Return the layers that are measured."""
        return blocks(network) if self.layers is None else self.layers

    def metric(self, network: nn.Module) -> ActivationBias:
        """Return an empty metric."""
        return ActivationBias(self.names(network))

    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the bias of each layer."""
        return ActivationBias.columns(activation_bias(network, batch.images, batch.adversarials, self.names(network)))
