"""How convolutions start."""

from torch import nn


def initialize_convolutions(network: nn.Module) -> None:
    r"""Draw the weights of every convolution from :math:`N(0, 2 / (k^2 \cdot c_{out}))`, in place; biases become 0.

    Args:
        network: Any module. BatchNorm and linear layers stay as they are.

    References:
        He et al., *Delving Deep into Rectifiers*, ICCV 2015, Eq. 14, https://arxiv.org/abs/1502.01852
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
