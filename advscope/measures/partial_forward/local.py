"""An operation whose output at a position depends on the input around it alone, and how it runs on a window."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, fx
from torch.nn import functional

from advscope.measures.partial_forward.span import POINT, Slide

Shapes = Mapping[fx.Node, tuple[int, ...] | None]
"""The shapes of the nodes' values for one image, ``None`` for what is no tensor."""


class Local(NamedTuple):
    """A local operation: what it reads, how it moves, and how it runs on windows that hold all it reads."""

    sources: tuple[fx.Node, ...]
    """The maps that it reads; all of one size."""
    rows: Slide = POINT
    columns: Slide = POINT
    fill: float = 0.0
    """What stands outside the map."""
    on_windows: Callable[..., Tensor] | None = None
    """Called with the arguments of the node, windows in place of maps; ``None`` for the node's own operation."""
    convolution: "Convolution | None" = None
    """Set for a convolution, which runs with weights of the caller's."""


class Convolution(NamedTuple):
    """The settings of a convolution, and where its weights are."""

    weight: fx.Node | None
    """The node of the weights; ``None`` where the module has them."""
    bias: fx.Node | None
    stride: tuple[int, int]
    padding: Any
    """As :func:`torch.nn.functional.conv2d` takes it: two numbers, ``"same"`` or ``"valid"``."""
    dilation: tuple[int, int]
    groups: int

    def run(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of whole maps."""
        return functional.conv2d(features, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def run_on_windows(self, windows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of windows that hold what lies around them."""
        # A single tap is given only what it reads.
        stride = tuple(step if taps > 1 else 1 for step, taps in zip(self.stride, weight.shape[2:], strict=True))
        return functional.conv2d(windows, weight, bias, stride, 0, self.dilation, self.groups)
