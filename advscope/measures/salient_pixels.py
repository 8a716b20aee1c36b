"""The region where the network sees the true class in the clean image."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from advscope.measures.salient_mask import check_quantile, salient_mask
from advscope.region import Region


class SalientPixels(Region):
    r"""The pixels where the heatmap of the clean image for its label is in the upper 30%; all channels of each.

    .. math:: S_2 = \{ i : B(x_0, t_0)_i > 0 \}

    with B as for IS (:func:`~advscope.measures.salient_mask.salient_mask`): pixels that tie with the quantile belong to
    it, and a constant map's region is the whole image. Neither the perturbation nor the target matters. A map with a
    ``nan`` has an empty region.

    Args:
        explainer: Maps (network, images, classes) to raw heatmaps ``(N, H, W)``: an explainer, or a function.
        quantile: Share of pixels outside the region, in [0, 1).

    Raises:
        ValueError: If a setting is not as said here; when called, if the explainer returns another shape.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (5) and (11). https://arxiv.org/abs/1904.02057
    """

    def __init__(self, explainer: Callable[..., Any], quantile: float = 0.7) -> None:
        # A class is callable, too, and would fail after the attack has run.
        if not callable(explainer) or isinstance(explainer, type):
            raise ValueError(f"explainer must be callable, such as advscope.explainers.CAM(), got {explainer!r}")
        check_quantile(quantile)
        self.explainer = explainer
        self.quantile = quantile

    def __call__(
        self, network: nn.Module, images: Tensor, adversarials: Tensor, labels: Tensor, targets: Tensor
    ) -> Tensor:
        """Return the region of each image, bool ``(N, 1, H, W)``; see :meth:`Region.__call__`."""
        heatmaps = self.explainer(network, images, labels)
        expected = (len(images), *images.shape[-2:])
        if heatmaps.shape != expected:
            raise ValueError(f"the explainer must return heatmaps of shape {expected}, got {tuple(heatmaps.shape)}")
        return salient_mask(heatmaps, self.quantile)[:, None]
