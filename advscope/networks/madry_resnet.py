"""The wide residual network of Madry et al. for CIFAR-10, w32-10."""

from collections.abc import Sequence

from torch import Tensor, nn

from advscope.networks.initialization import initialize_convolutions
from advscope.networks.normalize import PerImageStandardize
from advscope.networks.shortcut import PaddingShortcut

SLOPE = 0.1
"""Of the leaky ReLUs, for negative inputs."""


class MadryUnit(nn.Module):
    """BatchNorm, leaky ReLU and 3x3 convolution, twice, and a shortcut without weights around them.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out, at least as many.
        stride: Stride of the first convolution, 1 or 2.
        shared_activation: Whether the shortcut, too, starts from the activated input.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, shared_activation: bool = False) -> None:
        super().__init__()
        self.shared_activation = shared_activation
        self.bn1 = _batch_norm(in_channels)
        self.relu1 = nn.LeakyReLU(SLOPE)
        # TensorFlow's "SAME" padding: a stride of 2 pads on the right and at the bottom alone, unlike `padding=1`.
        self.pad = nn.Identity() if stride == 1 else nn.ZeroPad2d((0, 1, 0, 1))
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1 if stride == 1 else 0, bias=False)
        self.bn2 = _batch_norm(out_channels)
        self.relu2 = nn.LeakyReLU(SLOPE)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else PaddingShortcut(in_channels, out_channels, stride, average=True)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(N, out_channels, h / stride, w / stride)`` features."""
        activated = self.relu1(self.bn1(features))
        shortcut = self.shortcut(activated if self.shared_activation else features)
        output: Tensor = shortcut + self.conv2(self.relu2(self.bn2(self.conv1(self.pad(activated)))))
        return output


class MadryResNet(nn.Module):
    """The "w32-10" of Madry's CIFAR-10 challenge: 3 stages of pre-activation units, 45.9 million weights.

    Args:
        num_classes: Classes, K.
        widths: Channels of the stem and of the three stages, not falling; ``(16, 16, 32, 64)`` is the paper's simple
            network.
        units: Units of each stage.
        normalize: The first layer; ``None`` is :class:`~advscope.networks.PerImageStandardize`, as in the original.

    Raises:
        ValueError: If there are not four positive ``widths``, they fall, or a number is not positive.

    References:
        Madry et al., *Towards Deep Learning Models Resistant to Adversarial Attacks*, ICLR 2018,
        https://arxiv.org/abs/1706.06083. Code: https://github.com/MadryLab/cifar10_challenge (model.py)
    """

    def __init__(
        self,
        num_classes: int = 10,
        widths: Sequence[int] = (16, 160, 320, 640),
        units: int = 5,
        normalize: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != 4 or min(widths) < 1 or sorted(widths) != list(widths):
            raise ValueError(f"widths must be four positive numbers that do not fall, got {list(widths)}")
        if units < 1 or num_classes < 1:
            raise ValueError(f"units and num_classes must be at least 1, got {units} and {num_classes}")
        stem, first, second, third = widths
        self.normalize = PerImageStandardize() if normalize is None else normalize
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.layer1 = _stage(stem, first, units, 1, shared_activation=True)
        self.layer2 = _stage(first, second, units, 2)
        self.layer3 = _stage(second, third, units, 2)
        self.bn = _batch_norm(third)
        self.relu = nn.LeakyReLU(SLOPE)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(third, num_classes)
        initialize_convolutions(self)
        # TensorFlow's uniform unit scaling: each logit starts with the variance of the features.
        bound = (3 / third) ** 0.5
        nn.init.uniform_(self.linear.weight, -bound, bound)
        nn.init.zeros_(self.linear.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, 3, H, W)`` images in [0, 1], ``(N, K)``."""
        features = self.layer3(self.layer2(self.layer1(self.conv1(self.normalize(images)))))
        logits: Tensor = self.linear(self.flatten(self.pool(self.relu(self.bn(features)))))
        return logits


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return BatchNorm with TensorFlow's constants: its decay of 0.9 is a momentum of 0.1 here."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1)


def _stage(
    in_channels: int, out_channels: int, units: int, stride: int, shared_activation: bool = False
) -> nn.Sequential:
    """Return units of one width, of which the first has the stride and may share its activation."""
    first = MadryUnit(in_channels, out_channels, stride, shared_activation)
    return nn.Sequential(first, *(MadryUnit(out_channels, out_channels, 1) for _ in range(units - 1)))
