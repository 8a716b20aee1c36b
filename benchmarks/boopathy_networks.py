"""The natural and adversarially trained CIFAR-10 networks of Boopathy et al. (ICML 2020), built from their arrays.

They take RGB in [0, 1] without normalisation, and pad as TensorFlow's "SAME" does; there is no BatchNorm. Their layers
have stable names (:func:`advscope.layers.blocks`): ``stem``, ``layer1.0`` to ``layer3.4`` and ``head`` of *wresnet*,
``conv1``, ``conv2``, ``conv3`` and ``head`` of *smallgap*. What a layer returns is what stands before the next ReLU.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

NAMES = ("wresnet_normal", "wresnet_adv", "smallgap_normal", "smallgap_adv")
"""The networks; ``adv`` are trained adversarially at eps 8/255."""


class Same(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding.

    Args:
        weight: In TensorFlow's layout, ``(kernel, kernel, in, out)``.
        bias: ``(out,)``, or None for none.
        stride: Of both directions.
    """

    def __init__(self, weight: numpy.ndarray, bias: numpy.ndarray | None, stride: int = 1) -> None:
        kernel, _, into, out = weight.shape
        super().__init__(into, out, kernel, stride, bias=bias is not None)
        self.weight.data = torch.from_numpy(weight).permute(3, 2, 0, 1).contiguous()
        if bias is not None and self.bias is not None:
            self.bias.data = torch.from_numpy(bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the convolution; where the padding is odd, the odd pixel is on the right and below."""
        size, (step, _), (kernel, _) = images.shape[-1], self.stride, self.kernel_size
        padding = max((-(-size // step) - 1) * step + kernel - size, 0)
        before, after = padding // 2, padding - padding // 2
        return super().forward(functional.pad(images, (before, after, before, after)))


class Pair(nn.Module):
    """Two convolutions, both on relu(input), whose result is added to the trunk.

    Where they change its shape, the trunk is average-pooled and its channels are padded with zeros on both sides.
    """

    def __init__(self, first: Same, second: Same) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, trunk: Tensor) -> Tensor:
        """Return the trunk behind the pair."""
        out: Tensor = self.second(self.first(trunk.relu()).relu())
        if out.shape != trunk.shape:
            extra = out.shape[1] - trunk.shape[1]
            trunk = functional.avg_pool2d(trunk, trunk.shape[-1] // out.shape[-1])
            trunk = functional.pad(trunk, (0, 0, 0, 0, extra // 2, extra - extra // 2))
        return trunk + out


class WResNet(nn.Module):
    """A convolution, three stages of five pairs on one trunk, and a class head on the trunk's mean.

    Args:
        arrays: ``W00`` to ``W31`` and ``b00`` to ``b30``.
    """

    def __init__(self, arrays: Mapping[str, numpy.ndarray]) -> None:
        super().__init__()
        self.stem, *layers = (
            Same(arrays[f"W{number:02d}"], arrays[f"b{number:02d}"], 2 if number in (11, 21) else 1)
            for number in range(31)
        )
        pairs = [Pair(first, second) for first, second in zip(layers[::2], layers[1::2], strict=True)]
        self.layer1, self.layer2, self.layer3 = (nn.Sequential(*pairs[start : start + 5]) for start in (0, 5, 10))
        self.head = Same(arrays["W31"], None)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        trunk: Tensor = self.layer3(self.layer2(self.layer1(self.stem(images))))
        logits: Tensor = self.head(trunk.mean((2, 3), keepdim=True))
        return logits.flatten(1)


class SmallGap(nn.Module):
    """Three convolutions with a ReLU between them, and a class head on their mean.

    Args:
        arrays: ``W00`` to ``W03`` and ``b00`` to ``b02``.
    """

    def __init__(self, arrays: Mapping[str, numpy.ndarray]) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            Same(arrays[f"W{number:02d}"], arrays[f"b{number:02d}"], stride) for number, stride in enumerate((2, 2, 1))
        )
        self.head = Same(arrays["W03"], None)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        maps: Tensor = self.conv3(self.conv2(self.conv1(images).relu()).relu())
        logits: Tensor = self.head(maps.mean((2, 3), keepdim=True))
        return logits.flatten(1)


def boopathy_network(name: str, shared: Path) -> nn.Module:
    """Return one of :data:`NAMES`, in evaluation mode, its parameters without gradients.

    Raises:
        ValueError: If there is no such network.
        FileNotFoundError: If its file is not there.
    """
    if name not in NAMES:
        raise ValueError(f"no network {name!r}; there are {', '.join(NAMES)}")
    with numpy.load(shared / f"data/models/cifar10_robust/cifar_{name}_200.npz", allow_pickle=False) as data:
        arrays = dict(data)
    network = (WResNet if name.startswith("wresnet") else SmallGap)(arrays)
    return network.eval().requires_grad_(False)
