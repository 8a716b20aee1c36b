"""ResNet-18, 34 and 50 with a stem for small images."""

from collections.abc import Sequence

from torch import Tensor, nn

from advscope.networks.initialization import initialize_convolutions
from advscope.networks.normalize import Normalize


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and a shortcut around them.

    Args:
        in_channels: Channels that come in.
        width: Channels of both convolutions, and of the output.
        stride: Stride of the first convolution.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(in_channels, width, stride)
        self.relu2 = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(N, width, h / stride, w / stride)`` features."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(features)))))
        output: Tensor = self.relu2(residual + self.downsample(features))
        return output


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution with BatchNorm, and a shortcut around them.

    The stride is on the 3x3 convolution, as in torchvision ("ResNet v1.5").

    Args:
        in_channels: Channels that come in.
        width: Channels of the first two convolutions; the output has four times as many.
        stride: Stride of the 3x3 convolution.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _projection(in_channels, 4 * width, stride)
        self.relu3 = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(N, 4 * width, h / stride, w / stride)`` features."""
        residual = self.relu1(self.bn1(self.conv1(features)))
        residual = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(residual)))))
        output: Tensor = self.relu3(residual + self.downsample(features))
        return output


class ResNet(nn.Module):
    """A 4-stage residual network of 64 to 512 channels whose stem is one 3x3 convolution, without max pooling.

    The names of its weights are torchvision's.

    Args:
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        blocks: Blocks of each of the four stages.
        num_classes: Classes, K.
        normalize: The first layer; ``None`` is :class:`~advscope.networks.Normalize` with CIFAR-10's constants.

    References:
        He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, table 1, https://arxiv.org/abs/1512.03385.
        Stem: https://github.com/kuangliu/pytorch-cifar
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        blocks: Sequence[int],
        num_classes: int = 10,
        normalize: nn.Module | None = None,
    ) -> None:
        super().__init__()
        expansion = block.expansion
        self.normalize = Normalize() if normalize is None else normalize
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.layer1 = _stage(block, 64, 64, blocks[0], 1)
        self.layer2 = _stage(block, 64 * expansion, 128, blocks[1], 2)
        self.layer3 = _stage(block, 128 * expansion, 256, blocks[2], 2)
        self.layer4 = _stage(block, 256 * expansion, 512, blocks[3], 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(512 * expansion, num_classes)
        initialize_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, 3, H, W)`` images in [0, 1], ``(N, K)``."""
        features = self.relu(self.bn1(self.conv1(self.normalize(images))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        logits: Tensor = self.fc(self.flatten(self.pool(features)))
        return logits


class ResNet18(ResNet):
    """ResNet-18 with a stem for small images; 11.2 million weights.

    Args:
        num_classes: Classes, K.
        normalize: The first layer; ``None`` is :class:`~advscope.networks.Normalize` with CIFAR-10's constants.
    """

    def __init__(self, num_classes: int = 10, normalize: nn.Module | None = None) -> None:
        super().__init__(BasicBlock, (2, 2, 2, 2), num_classes, normalize)


class ResNet34(ResNet):
    """ResNet-34 with a stem for small images; 21.3 million weights.

    Args:
        num_classes: Classes, K.
        normalize: The first layer; ``None`` is :class:`~advscope.networks.Normalize` with CIFAR-10's constants.
    """

    def __init__(self, num_classes: int = 10, normalize: nn.Module | None = None) -> None:
        super().__init__(BasicBlock, (3, 4, 6, 3), num_classes, normalize)


class ResNet50(ResNet):
    """ResNet-50 with a stem for small images; 23.5 million weights.

    Args:
        num_classes: Classes, K.
        normalize: The first layer; ``None`` is :class:`~advscope.networks.Normalize` with CIFAR-10's constants.
    """

    def __init__(self, num_classes: int = 10, normalize: nn.Module | None = None) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3), num_classes, normalize)


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the shortcut: the identity, or a 1x1 convolution with BatchNorm where the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(out_channels))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, width: int, blocks: int, stride: int
) -> nn.Sequential:
    """Return blocks of one width, of which the first has the stride."""
    first = block(in_channels, width, stride)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1) for _ in range(blocks - 1)))
