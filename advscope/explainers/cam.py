"""Class activation map (CAM) in closed form."""

import torch
from torch import Tensor, nn

from advscope.explainers.base import Explainer, check_classes
from advscope.head import feature_maps, find_head
from advscope.layers import find_layer


class CAM(Explainer):
    r"""The last feature map's channels A_k, weighted by the linear layer's weights of the class.

    .. math:: F_{ij} = \sum_k w_{c,k} A_{k,ij}

    without the bias and without a ReLU: its mean over positions is the logit less its bias. One forward pass, no
    backward pass. For any network that ends in global average pooling and one linear layer
    (:func:`~advscope.head.find_head`); for such a network it is the number of positions times Grad-CAM.

    References:
        Zhou et al., *Learning Deep Features for Discriminative Localization*, CVPR 2016, eq. (2).
        https://arxiv.org/abs/1512.04150
    """

    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps at the size of the last feature map, ``(N, h, w)``."""
        head = find_head(network, images)
        linear = find_layer(network, head.linear)
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"the head {head.linear!r} must be a linear layer, got {type(linear).__name__}")
        check_classes(classes, linear.out_features)
        with torch.set_grad_enabled(create_graph):
            features, _ = feature_maps(network, images, head)
            maps: Tensor = torch.einsum("nk,nkhw->nhw", linear.weight[classes], features)
        return maps
