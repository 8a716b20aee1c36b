"""What an attack keeps small: the regulariser g of the unified problem, its value and its proximal map."""

from abc import ABC, abstractmethod

from torch import Tensor

from advscope.attacks.row_sums import row_sums, spread


class Size(ABC):
    """A regulariser g(delta); settings only."""

    @abstractmethod
    def value(self, perturbations: Tensor) -> Tensor:
        """Return g of ``(N, C, H, W)`` perturbations, ``(N,)``."""

    @abstractmethod
    def shrunk(self, slopes: Tensor, weights: Tensor, around: Tensor) -> Tensor:
        r"""Return the perturbation of least :math:`g(\delta) + w \|\delta\|_2^2 - \langle a, \delta \rangle`.

        With :math:`a = 2 w b` this is the proximal map of g / (2 w) at b.

        Args:
            slopes: a, ``(N, C, H, W)``.
            weights: w, at least 0, ``(N,)``; g must grow quadratically where it is 0.
            around: A perturbation near the result, for sizes without a closed form, ``(N, C, H, W)``.
        """


class ElasticNetSize(Size):
    """The squared l2 norm and ``l1`` times the l1 norm.

    Args:
        l1: Weight of the l1 norm (beta), at least 0.
    """

    def __init__(self, l1: float = 0.0) -> None:
        self.l1 = l1

    def value(self, perturbations: Tensor) -> Tensor:
        """Return the elastic-net value; see :meth:`Size.value`."""
        squares = row_sums(perturbations.square())
        return squares if self.l1 == 0 else squares + self.l1 * row_sums(perturbations.abs())

    def shrunk(self, slopes: Tensor, weights: Tensor, around: Tensor) -> Tensor:
        """Return the soft threshold of the slopes; see :meth:`Size.shrunk`."""
        if self.l1:
            slopes = slopes - slopes.clamp(-self.l1, self.l1)
        return slopes / spread(2 + 2 * weights)
