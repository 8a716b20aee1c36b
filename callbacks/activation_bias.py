"""Layerwise activation bias of the attacked images, during training and after it."""

from collections.abc import Sequence

from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.layers import blocks
from advscope.measures import ActivationBias, activation_biases, noise_control
from callbacks.batch_monitor import BatchMonitor


class ActivationBiasMonitor(BatchMonitor):
    """Measures how far an attack moves the activations of each layer.

    Logs ``{stage}/{attack}/bias/{layer}/raw`` and ``.../relative``; see :class:`~advscope.measures.ActivationBias`.

    Args:
        layers: Names of submodules; null for every block.
        every_n_epochs: As for :class:`~callbacks.BatchMonitor`.
        max_images: As for :class:`~callbacks.BatchMonitor`.
        control: Whether Gaussian noise of the same l2 norm is measured as well, image by image: logged as
            ``raw_noise`` and ``relative_noise``. One more forward pass of each attacked image, to the two without it;
            off by default, so that an evaluation costs what it did. The noise is not clipped to [0, 1], which would
            make it smaller than the perturbation.
        seed: Of the noise, a function of (seed, index of the image).
    """

    measure = "bias"

    def __init__(
        self,
        layers: Sequence[str] | None = None,
        every_n_epochs: int = 1,
        max_images: int | None = None,
        control: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_epochs, max_images)
        self.layers = None if layers is None else list(layers)
        self.controls = ("noise",) if control else ()
        self.seed = seed

    def names(self, network: nn.Module) -> list[str]:
        """Return the layers that are measured."""
        return blocks(network) if self.layers is None else self.layers

    def metric(self, network: nn.Module) -> ActivationBias:
        """Return an empty metric."""
        return ActivationBias(self.names(network), self.controls)

    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the bias of each layer."""
        moved = {"": batch.adversarials}
        if self.controls:
            noise = noise_control(batch.adversarials - batch.images, batch.indices, self.seed)
            moved["noise"] = batch.images + noise
        found = activation_biases(network, batch.images, moved, self.names(network))
        columns: dict[str, Tensor] = {}
        for version, biases in found.items():
            columns |= ActivationBias.columns(biases, version)
        return columns
