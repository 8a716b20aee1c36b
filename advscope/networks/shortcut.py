"""The shortcut without weights, past residual blocks that change the shape."""

from torch import Tensor, nn
from torch.nn.functional import pad


class PaddingShortcut(nn.Module):
    """Takes fewer positions, and adds channels of zeros evenly before and after.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out, at least as many; an odd channel of zeros goes to the end.
        stride: Of ``stride`` x ``stride`` positions one is left.
        average: Whether it is their average (MadryLab), or the first of them (option A of He et al.).

    Raises:
        ValueError: If ``out_channels`` is less than ``in_channels``.

    References:
        He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, section 3.3 (A),
        https://arxiv.org/abs/1512.03385
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, average: bool = False) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(
                f"a shortcut that pads cannot go from {in_channels} to {out_channels} channels: "
                "let the widths grow from stage to stage"
            )
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before
        self.average = nn.AvgPool2d(stride) if average else None

    def forward(self, features: Tensor) -> Tensor:
        """Return ``(N, out_channels, h / stride, w / stride)`` features."""
        step = self.stride
        fewer = features[:, :, ::step, ::step] if self.average is None else self.average(features)
        return pad(fewer, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """Return the settings."""
        return f"stride={self.stride}, zeros={self.before}+{self.after}"
