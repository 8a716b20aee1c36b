"""IS of the attacked images, during training and after it."""

from torch import Tensor, nn

from advscope.batch import AttackedBatch
from advscope.explainers import CAM, Explainer
from advscope.measures import InterpretabilityScore, interpretability_score
from advscope.measures.salient_mask import check_quantile
from callbacks.batch_monitor import BatchMonitor


class InterpretabilityMonitor(BatchMonitor):
    """Measures whether a perturbation acts where the network looks for the true class, and for the target.

    Logs ``{stage}/{attack}/is/{quantity}``, the quantities of :class:`~advscope.measures.InterpretabilityScore`.

    Args:
        explainer: Makes the heatmaps; null for the closed-form CAM, which needs global average pooling and one linear
            layer at the end of the network (others: ``advscope.explainers.GradCAM`` with a layer).
        quantile: nu: the mask is what lies at or above this quantile of a map.
        every_n_epochs: As for :class:`~callbacks.BatchMonitor`.
        max_images: As for :class:`~callbacks.BatchMonitor`.
        examples: As for :class:`~callbacks.BatchMonitor`.

    Raises:
        ValueError: If the quantile is not allowed.
    """

    measure = "is"

    def __init__(
        self,
        explainer: Explainer | None = None,
        quantile: float = 0.7,
        every_n_epochs: int = 1,
        max_images: int | None = None,
        examples: int = 6,
    ) -> None:
        super().__init__(every_n_epochs, max_images, examples)
        # Asked now: the attacks that run before the first batch is measured may take hours.
        check_quantile(quantile)
        self.explainer = explainer or CAM()
        self.quantile = quantile

    def metric(self, network: nn.Module) -> InterpretabilityScore:
        """Return an empty metric."""
        return InterpretabilityScore()

    def measure_batch(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the scores with respect to the maps of (x0, t0) and (x', t)."""
        perturbations = batch.adversarials - batch.images
        clean = self.explainer(network, batch.images, batch.labels)
        adversarial = self.explainer(network, batch.adversarials, batch.targets)
        return InterpretabilityScore.columns(
            interpretability_score(perturbations, clean, self.quantile),
            interpretability_score(perturbations, adversarial, self.quantile),
        )

    def example_arrays(self, network: nn.Module, batch: AttackedBatch) -> dict[str, Tensor]:
        """Return the four maps: of both images, for both classes."""
        pairs = {"clean": batch.images, "adversarial": batch.adversarials}
        classes = {"label": batch.labels, "target": batch.targets}
        return {
            f"cam_{pair}_{kind}": self.explainer(network, images, chosen)
            for pair, images in pairs.items()
            for kind, chosen in classes.items()
        }
