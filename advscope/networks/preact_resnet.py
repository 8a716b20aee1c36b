"""ResNet-18 whose blocks normalise and activate first, for small images."""

from torch import Tensor, nn

from advscope.networks.initialization import initialize_convolutions
from advscope.networks.normalize import Normalize


class PreActBlock(nn.Module):
    """BatchNorm, ReLU and 3x3 convolution, twice, and a shortcut around them.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        stride: Stride of the first convolution. Where the shape changes, the shortcut is a 1x1 convolution of the
            activated input, else it is the input itself.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.projects = stride != 1 or in_channels != out_channels
        if self.projects:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(N, out_channels, h / stride, w / stride)`` features."""
        activated = self.relu1(self.bn1(features))
        shortcut = self.shortcut(activated) if self.projects else features
        output: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(activated)))) + shortcut
        return output


class PreActResNet18(nn.Module):
    """Pre-activation ResNet-18 with a 3x3 stem, and a last BatchNorm and ReLU before the pooling.

    The names of its weights are those of the networks of the adversarial training literature (Rice et al. 2020).

    Args:
        num_classes: Classes, K.
        normalize: The first layer; ``None`` is :class:`~advscope.networks.Normalize` with CIFAR-10's constants.

    References:
        He et al., *Identity Mappings in Deep Residual Networks*, ECCV 2016, https://arxiv.org/abs/1603.05027.
        Names: https://github.com/locuslab/robust_overfitting
    """

    def __init__(self, num_classes: int = 10, normalize: nn.Module | None = None) -> None:
        super().__init__()
        self.normalize = Normalize() if normalize is None else normalize
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.layer1 = nn.Sequential(PreActBlock(64, 64, 1), PreActBlock(64, 64, 1))
        self.layer2 = nn.Sequential(PreActBlock(64, 128, 2), PreActBlock(128, 128, 1))
        self.layer3 = nn.Sequential(PreActBlock(128, 256, 2), PreActBlock(256, 256, 1))
        self.layer4 = nn.Sequential(PreActBlock(256, 512, 2), PreActBlock(512, 512, 1))
        self.bn = nn.BatchNorm2d(512)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(512, num_classes)
        initialize_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, 3, H, W)`` images in [0, 1], ``(N, K)``."""
        features = self.conv1(self.normalize(images))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        logits: Tensor = self.linear(self.flatten(self.pool(self.relu(self.bn(features)))))
        return logits
