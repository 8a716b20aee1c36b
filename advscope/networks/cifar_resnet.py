"""The small residual networks for CIFAR-10: ResNet-20, 32, 44, 56, 110, ..."""

from typing import Literal

from torch import Tensor, nn

from advscope.networks.initialization import initialize_convolutions
from advscope.networks.normalize import Normalize
from advscope.networks.shortcut import PaddingShortcut


class CIFARBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and a shortcut around them.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        stride: Stride of the first convolution.
        shortcut: Where the shape changes: ``"A"`` subsamples and pads with zeros, ``"B"`` is a 1x1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Literal["A", "B"]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            if shortcut == "A":
                self.shortcut = PaddingShortcut(in_channels, out_channels, stride)
            else:
                projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out_channels))
        self.relu2 = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(N, out_channels, h / stride, w / stride)`` features."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(features)))))
        output: Tensor = self.relu2(residual + self.shortcut(features))
        return output


class CIFARResNet(nn.Module):
    """The 3-stage residual network for 32x32 images, of depth 6n + 2: ResNet-20 by default.

    The names of its weights are those of the published ResNet-20 to ResNet-1202 (Y. Idelbayev), which fit after
    :func:`~advscope.networks.load_weights` has taken their prefix off. These were trained with ImageNet's mean and
    standard deviation: ``normalize=Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))``.

    Args:
        depth: Layers with weights, 6n + 2 for n >= 1 blocks a stage: 8, 14, 20, 32, 44, 56, 110, ...
        num_classes: Classes, K.
        shortcut: Where the shape changes: ``"A"`` subsamples and pads with zeros (the paper's choice on CIFAR-10),
            ``"B"`` is a 1x1 convolution with BatchNorm.
        width: Channels of the first stage; the others have twice and four times as many.
        normalize: The first layer; ``None`` is :class:`~advscope.networks.Normalize` with CIFAR-10's constants.

    Raises:
        ValueError: If ``depth`` is no 6n + 2, ``shortcut`` neither A nor B, or a number is not positive.

    References:
        He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, section 4.2,
        https://arxiv.org/abs/1512.03385. Published weights: https://github.com/akamaster/pytorch_resnet_cifar10
    """

    def __init__(
        self,
        depth: int = 20,
        num_classes: int = 10,
        shortcut: Literal["A", "B"] = "A",
        width: int = 16,
        normalize: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 (8, 14, 20, 32, 44, 56, 110, ...), got {depth}")
        if shortcut not in ("A", "B"):
            raise ValueError(f'shortcut must be "A" or "B", got {shortcut!r}')
        if width < 1 or num_classes < 1:
            raise ValueError(f"width and num_classes must be at least 1, got {width} and {num_classes}")
        blocks = (depth - 2) // 6
        self.normalize = Normalize() if normalize is None else normalize
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(width, width, blocks, 1, shortcut)
        self.layer2 = _stage(width, 2 * width, blocks, 2, shortcut)
        self.layer3 = _stage(2 * width, 4 * width, blocks, 2, shortcut)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(4 * width, num_classes)
        initialize_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, 3, H, W)`` images in [0, 1], ``(N, K)``."""
        features = self.relu(self.bn1(self.conv1(self.normalize(images))))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.linear(self.flatten(self.pool(features)))
        return logits


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int, shortcut: Literal["A", "B"]) -> nn.Sequential:
    """Return blocks of one width, of which the first has the stride."""
    first = CIFARBlock(in_channels, out_channels, stride, shortcut)
    return nn.Sequential(first, *(CIFARBlock(out_channels, out_channels, 1, shortcut) for _ in range(blocks - 1)))
