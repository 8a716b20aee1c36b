"""Grad-CAM: a layer's channels weighted by the mean gradient of the class logit."""

import torch
from torch import Tensor, nn

from advscope.explainers.base import Explainer, check_classes
from advscope.frozen import MicroBatched
from advscope.layers import recording


class GradCAM(Explainer):
    r"""The channels A_k of a layer, weighted by the mean over positions of the gradient of the class logit.

    .. math:: F = \sum_k \Big(\frac{1}{u} \sum_{ij} \frac{\partial Z_c}{\partial A_{k,ij}}\Big) A_k

    without the ReLU of the paper: a map with many zeros has no 70% quantile to speak of. For global average pooling and
    a linear layer after it the map is CAM / u. The gradient is taken towards the layer's output only.

    Args:
        layer: Name of the layer, as in ``named_modules()``; its output must be ``(N, K, h, w)``. A layer whose output
            is changed in place afterwards is explained after the change.

    References:
        Selvaraju et al., *Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization*, ICCV 2017,
        eq. (1), (2). https://arxiv.org/abs/1610.02391
    """

    def __init__(self, layer: str) -> None:
        self.layer = layer

    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps at the size of the layer, ``(N, h, w)``."""
        if not images.requires_grad:
            # The parameters are frozen: the graph has to start somewhere.
            images = images.detach().requires_grad_()
        with recording(network, [self.layer]) as outputs:
            logits = network(images)
        check_classes(classes, logits.shape[1])
        parts = outputs[self.layer]
        passes = -(-len(images) // network.size) if isinstance(network, MicroBatched) else 1
        if len(parts) != passes:
            raise ValueError(
                f"layer {self.layer!r} ran {len(parts) / passes:g} times in one pass; name one that runs once"
            )
        if not all(isinstance(part, Tensor) and part.ndim == 4 for part in parts):
            raise ValueError(f"layer {self.layer!r} must return (N, K, h, w) feature maps; name a convolutional layer")
        chosen = logits.gather(1, classes[:, None]).sum()
        gradients = torch.autograd.grad(chosen, parts, create_graph=create_graph, allow_unused=True)
        if any(gradient is None for gradient in gradients):
            raise ValueError(f"the logits do not depend on layer {self.layer!r}; name one before the head")
        features, gradient = torch.cat(parts)[: len(images)], torch.cat(gradients)[: len(images)]
        maps: Tensor = torch.einsum("nk,nkhw->nhw", gradient.mean((2, 3)), features)
        return maps
