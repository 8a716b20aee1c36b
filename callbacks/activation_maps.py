"""Activation maps of a few attacked images, layer by layer, for figures."""

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.layers import find_layer
from advscope.measures import activation_maps
from advscope.precision import full_precision
from callbacks.example_monitor import ExampleMonitor


class ActivationMapsMonitor(ExampleMonitor):
    """Keeps the activation maps of a few image pairs in a test, before and after the attack; measures nothing.

    In ``arrays.npz`` they are ``{attack}/activations/clean/{layer}`` and ``.../adversarial/{layer}``, float32
    ``(E, h, w)``: the mean over the channels, at the layer's own resolution; see
    :func:`~advscope.measures.activation_maps`. Two forward passes of each example, and none of another image.

    Args:
        layers: Names of submodules; null for the first 20 blocks.
        examples: Number of attacked images. Figures show those that all monitors have, so that fewer here are fewer
            of every kind.

    Raises:
        ValueError: If a layer is unknown, or ``examples`` is not positive.
    """

    measure = "activations"

    def __init__(self, layers: Sequence[str] | None = None, examples: int = 6) -> None:
        super().__init__(examples=examples)
        if examples < 1:
            raise ValueError(f"examples must be at least 1, got {examples}")
        self.layers = None if layers is None else list(layers)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look for the layers, so that what is wrong is said before the first step."""
        super().setup(trainer, pl_module, stage)
        for layer in self.layers or ():
            find_layer(pl_module.network, layer)  # type: ignore[arg-type]

    def example_arrays(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the maps of both images of each pair."""
        arrays = {}
        for kind, images in (("clean", batch.images), ("adversarial", batch.adversarials)):
            for layer, maps in activation_maps(network, images, self.layers).items():
                arrays[f"{kind}/{layer}"] = maps
        return arrays

    def state(self) -> dict[str, Any]:
        """Return how many examples were kept."""
        return {"kept": dict(self.kept)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` returned."""
        self.kept = dict(state["kept"])

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start over."""
        self.forget()
        self.kept = dict.fromkeys(pl_module.attacks, 0)  # type: ignore[arg-type]

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Keep examples of a test batch, as long as they are wanted."""
        with full_precision(pl_module.device.type):
            for attack, batch in outputs.items():
                self.keep_examples(attack, batch, pl_module.still)  # type: ignore[arg-type]
