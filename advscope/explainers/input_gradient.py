"""The gradient of the class logit towards the pixels, plain; SmoothGrad and integrated gradients are means of it."""

import torch
from torch import Tensor, nn

from advscope.explainers.base import Explainer, check_classes
from advscope.explainers.channels import Channels, check_channels, over_channels


class InputGradient(Explainer):
    r"""The gradient of the class logit towards the image, one value a pixel.

    .. math:: F_{ij} = \max_c |\partial Z / \partial x_{c,ij}|

    or another reduction over the colour channels. One forward pass, and one backward pass for each class.

    Args:
        channels: How the colour channels become one value: ``max_abs`` (the paper), ``abs_sum`` or ``sum``.

    Raises:
        ValueError: If there is no such reduction.

    References:
        Simonyan et al., *Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency
        Maps*, ICLR Workshop 2014, section 3. https://arxiv.org/abs/1312.6034
    """

    def __init__(self, channels: Channels = "max_abs") -> None:
        check_channels(channels)
        self.channels = channels

    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps, ``(N, M, H, W)``."""
        return over_channels(input_gradients(network, images, classes, create_graph), self.channels)


def input_gradients(network: nn.Module, points: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
    """Return the gradients of logits towards the inputs, from one forward pass.

    Args:
        network: In evaluation mode, its parameters frozen.
        points: Inputs, ``(P, C, H, W)``.
        classes: Of each input the classes whose logits are explained, int64 ``(P, M)``.
        create_graph: Whether the gradients are differentiable.

    Returns:
        ``(P, M, C, H, W)``.

    Raises:
        ValueError: If a class is not the network's, or the logits do not depend on the inputs.
    """
    points = points.contiguous(memory_format=torch.channels_last)
    if not create_graph:
        points = points.detach().requires_grad_()
    elif not points.requires_grad:
        points = points.clone().requires_grad_()
    logits = network(points)
    check_classes(classes, logits.shape[1])
    if not logits.requires_grad:
        raise ValueError(f"the logits of {type(network).__name__} are cut off from the image: no gradient reaches it")
    gradients: list[Tensor] = []
    last = classes.shape[1] - 1
    for place in range(last + 1):
        chosen = logits.gather(1, classes[:, place, None]).sum()
        again = create_graph or place < last
        gradients += torch.autograd.grad(chosen, points, create_graph=create_graph, retain_graph=again)
    return gradients[0][:, None] if last == 0 else torch.stack(gradients, 1)
