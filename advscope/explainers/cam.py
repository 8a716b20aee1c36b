"""Class activation map (CAM) in closed form."""

import torch
from torch import Tensor, nn

from advscope.explainers.base import Explainer, check_classes
from advscope.head_maps import head_maps


class CAM(Explainer):
    r"""The last feature map's channels A_k, weighted by the linear layer's weights of the class.

    .. math:: F_{ij} = \sum_k w_{c,k} A_{k,ij}

    without the bias and without a ReLU: its mean over positions is the logit less its bias. One forward pass, no
    backward pass, however many classes are asked for. For any network that ends in global average pooling and one
    linear layer or convolution of 1 x 1 (:func:`~advscope.head.find_head`); for such a network it is the number of
    positions times Grad-CAM.

    References:
        Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016, eq. (2).
        https://arxiv.org/abs/1512.04150
    """

    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps at the size of the last feature map, ``(N, M, h, w)``."""
        with torch.set_grad_enabled(create_graph):
            weight, features, _ = head_maps(network, images)
            check_classes(classes, len(weight))
            maps: Tensor = torch.einsum("nmk,nkhw->nmhw", weight[classes], features)
        return maps
