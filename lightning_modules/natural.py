"""Natural training."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from advscope.batch import Batch
from lightning_modules.classifier import Classifier


class NaturalClassifier(Classifier):
    """Trains a network on clean images.

    ========================== ==============================================
    Key                        Logged value
    ========================== ==============================================
    ``train/loss``             Cross-entropy on the clean images trained on
    ``train/accuracy``         Accuracy on them
    ========================== ==============================================

    Further keys, and the arguments, as for :class:`~lightning_modules.classifier.Classifier`.
    """

    trained_on = "accuracy"

    def training_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy on the clean images, and their logits."""
        logits = self.network(batch.images)
        return cross_entropy(logits, batch.labels), logits
