"""What monitors share that keep arrays of a few attacked images for figures."""

from torch import Tensor, nn

from advscope.batch import AttackedBatch
from callbacks.monitor import Monitor


class ExampleMonitor(Monitor):
    """Keeps what figures need of the first attacked images of a test, attack by attack.

    Args:
        every_n_epochs: As for :class:`~callbacks.Monitor`.
        max_images: As for :class:`~callbacks.Monitor`.
        examples: Number of attacked images of which a test keeps the arrays.
    """

    def __init__(self, every_n_epochs: int = 1, max_images: int | None = None, examples: int = 6) -> None:
        super().__init__(every_n_epochs, max_images)
        self.examples = examples
        self.kept: dict[str, int] = {}

    def example_arrays(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return what figures need of a few images, ``(N, ...)`` each; nothing by default."""
        return {}

    def keep_examples(self, attack: str, batch: AttackedBatch, network: nn.Module) -> None:
        """Keep the arrays of the first attacked images, as long as examples are wanted."""
        chosen = batch.attacked.nonzero().flatten()[: max(0, self.examples - self.kept[attack])]
        if len(chosen):
            self.kept[attack] += len(chosen)
            few = rows_of(batch, chosen)
            arrays = {"indices": few.indices} | self.example_arrays(network, few)
            self.arrays.setdefault(attack, []).append({name: array.cpu() for name, array in arrays.items()})


def rows_of(batch: AttackedBatch, chosen: Tensor) -> AttackedBatch:
    """Return some rows of a batch."""
    return AttackedBatch(*(field[chosen] for field in batch))
