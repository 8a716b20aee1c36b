"""Grad-CAM++: a layer's channels weighted by the positive gradients of the class logit, position by position."""

from torch import Tensor

from advscope.explainers.gradient_weighted import GradientWeighted


class GradCAMPlusPlus(GradientWeighted):
    r"""The channels A_k of a layer, weighted by a weighted sum of the positive gradients of the class logit.

    .. math::
        F = \sum_k w_k A_k, \qquad w_k = \sum_{ij} \alpha_{k,ij} \, \mathrm{relu}(g_{k,ij}), \qquad
        \alpha_{k,ij} = \frac{g_{k,ij}^2}{2 g_{k,ij}^2 + g_{k,ij}^3 \sum_{ab} A_{k,ab} + \epsilon}

    with g the gradient of the logit. The paper explains exp(Z_c), whose gradient is exp(Z_c) g: that factor scales the
    whole map, and is left out. So is the ReLU on the map, as in :class:`~advscope.explainers.GradCAM`.

    Args:
        layer: As for :class:`~advscope.explainers.GradCAM`.
        eps: Added to the denominator, in units of the squared gradient: positions with no gradient weigh nothing.
            Where gradients are small against its root the map depends on it; 1e-6 is what pytorch-grad-cam takes.

    Raises:
        ValueError: If ``eps`` is not positive.

    References:
        Chattopadhay et al., *Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional
        Networks*, WACV 2018, eq. (7), (19). https://arxiv.org/abs/1710.11063
    """

    def __init__(self, layer: str | None = None, eps: float = 1e-6) -> None:
        super().__init__(layer)
        if not eps > 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.eps = eps

    def weights(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the weight of each channel, ``(N, K)``."""
        squared = gradients.square()
        total = features.sum((2, 3), keepdim=True)
        alpha = squared / (2 * squared + total * squared * gradients + self.eps)
        return (alpha * gradients.relu()).sum((2, 3))
