"""SmoothGrad: the mean input gradient over noisy copies of an image."""

import torch
from torch import Tensor, nn

from advscope.counter_hash import normal
from advscope.explainers.base import Explainer
from advscope.explainers.channels import Channels, check_channels, over_channels
from advscope.explainers.gradient_mean import weighted_gradients


class SmoothGrad(Explainer):
    r"""The mean gradient of the class logit over noisy copies of the image, one value a pixel.

    .. math:: F = \Big| \frac{1}{n} \sum_{i=1}^n \nabla_x Z(x + \sigma \epsilon_i) \Big|, \qquad
        \sigma = \text{noise\_level} \cdot (\max x - \min x)

    with the reduction over the colour channels last. The noise is a function of (seed, copy, pixel): the same for every
    image, so that no map depends on the batch. Noisy copies may leave [0, 1]. A constant image gets no noise, and its
    map is that of the plain gradient.

    Args:
        samples: Noisy copies, n.
        noise_level: Standard deviation of the noise over the range of the image; the paper finds 0.1 ... 0.2 best.
        channels: How the colour channels become one value. The paper shows magnitudes and leaves the reduction open;
            ``abs_sum`` is what its authors' code does.
        seed: Of the noise.
        chunk_size: Most copies that go through the network at once: memory and speed only.

    Raises:
        ValueError: If a setting is out of range.

    References:
        Smilkov et al., *SmoothGrad: removing noise by adding noise*, 2017, section 3. https://arxiv.org/abs/1706.03825
    """

    def __init__(
        self,
        samples: int = 50,
        noise_level: float = 0.15,
        channels: Channels = "abs_sum",
        seed: int = 0,
        chunk_size: int = 64,
    ) -> None:
        if samples < 1 or chunk_size < 1:
            raise ValueError(f"samples and chunk_size must be at least 1, got {samples} and {chunk_size}")
        if not 0 <= noise_level < float("inf"):
            raise ValueError(f"noise_level must be at least 0 and finite, got {noise_level}")
        check_channels(channels)
        self.samples = samples
        self.noise_level = noise_level
        self.channels: Channels = channels
        self.seed = seed
        self.chunk_size = chunk_size

    def noise(self, first: int, count: int, images: Tensor) -> Tensor:
        """Return the noise of some copies, before it is scaled to the image.

        Args:
            first: Number of the first copy.
            count: Number of copies.
            images: ``(N, C, H, W)``; their shape, type and device count alone. A subclass may return other noise.

        Returns:
            Standard normal numbers, ``(count, 1, C, H, W)``: the same for all images.
        """
        copies = torch.arange(first, first + count, device=images.device).view(-1, 1)
        pixels = torch.arange(images[0].numel(), device=images.device)
        return normal(self.seed, copies, pixels).to(images.dtype).view(count, 1, *images.shape[1:])

    def maps(self, network: nn.Module, images: Tensor, classes: Tensor, create_graph: bool) -> Tensor:
        """Return the maps, ``(N, M, H, W)``."""

        def noisy(some: Tensor, first: int, count: int) -> Tensor:
            flat = some.flatten(1)
            deviation = self.noise_level * (flat.amax(1) - flat.amin(1)).view(-1, 1, 1, 1)
            return some + deviation * self.noise(first, count, some)

        weights = [1 / self.samples] * self.samples
        total = weighted_gradients(network, images, classes, noisy, weights, self.chunk_size, create_graph)
        return over_channels(total, self.channels)
