"""Grad-CAM: a layer's channels weighted by the mean gradient of the class logit."""

from torch import Tensor

from advscope.explainers.gradient_weighted import GradientWeighted


class GradCAM(GradientWeighted):
    r"""The channels A_k of a layer, weighted by the mean over positions of the gradient of the class logit.

    .. math:: F = \sum_k \Big(\frac{1}{u} \sum_{ij} \frac{\partial Z_c}{\partial A_{k,ij}}\Big) A_k

    without the ReLU of the paper: a map with many zeros has no 70% quantile to speak of. For global average pooling and
    a linear layer after it the map is CAM / u.

    Args:
        layer: Name of the layer, as in ``named_modules()``; its output must be ``(N, K, h, w)``, and is explained as
            the layer returned it. ``None`` is the last feature map, found from the network's structure
            (:func:`~advscope.last_map.find_last_map`).

    References:
        Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*, ICCV 2017,
        eq. (1), (2). https://arxiv.org/abs/1610.02391
    """

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the mean gradient of each channel, ``(N, K)``."""
        return gradients.mean((2, 3))
