"""The size of perturbations: in four norms, and as the cells of a grid that they touch."""

from typing import NamedTuple

import torch
from torch import Tensor

from advscope.intervals import Estimate, rate
from advscope.measures.base import ImageMeans, check_pair
from advscope.measures.grid import cell_norms


class PerturbationSize(NamedTuple):
    """The sizes of ``N`` perturbations, in image units; float64 ``(N,)`` each, ``nan`` where a pixel is ``nan``."""

    l0: Tensor
    """Channel elements that are changed by the threshold or more, in 0 ... C H W."""
    l1: Tensor
    """Sum of the absolute changes, at least 0."""
    l2: Tensor
    """Euclidean norm, at least 0."""
    linf: Tensor
    """Largest absolute change, at least 0."""
    group: Tensor
    """Sum over the cells of the Euclidean norm in each, all channels together, at least 0."""
    active_cells: Tensor
    """Cells in which some channel element is changed by the threshold or more, in 0 ... m."""


def perturbation_size(
    images: Tensor,
    adversarials: Tensor,
    *,
    cell_size: int,
    stride: int | None = None,
    threshold: float = 1e-6,
) -> PerturbationSize:
    r"""Return how large perturbations are.

    .. math:: \delta = x' - x, \qquad \|\delta\|_0, \|\delta\|_1, \|\delta\|_2, \|\delta\|_\infty, \qquad
        \sum_i \|\delta_{D_i}\|_2

    with D_i the cells of :func:`~advscope.measures.grid_cells`. Differences and sums are in float64.

    Args:
        images: Clean images, ``(N, C, H, W)``.
        adversarials: Adversarial images, of the same shape.
        cell_size: Side of a cell in pixels.
        stride: Pixels from one cell to the next; ``None`` for ``cell_size``. With a smaller one a change counts in each
            cell that it lies in.
        threshold: What counts as changed, in image units, positive. Float32 images in [0, 1] are apart by up to 6e-8,
            and many attacks leave that much on pixels that they did not mean to change.

    Returns:
        The sizes of each perturbation; those of an unperturbed image are 0, all of them ``nan`` where a pixel is.

    Raises:
        ValueError: If a shape or type is wrong, ``cell_size`` or ``threshold`` is not positive, or ``stride`` out of
            range.

    References:
        Group norm: Xu et al., *Structured Adversarial Attack: Towards General Implementation and Better
        Interpretability*, ICLR 2019, https://arxiv.org/abs/1808.01664: its penalty of group sparsity. The threshold of
        l0 is the coarser of the two in the authors' code.

    Example:
        >>> images = torch.zeros(1, 1, 2, 4)
        >>> adversarials = torch.tensor([[[[0.3, 0.0, 0.0, 0.0], [0.0, 0.4, 0.0, 0.1]]]])
        >>> size = perturbation_size(images, adversarials, cell_size=2)
        >>> {name: round(values.item(), 3) for name, values in size._asdict().items()}
        {'l0': 3.0, 'l1': 0.8, 'l2': 0.51, 'linf': 0.4, 'group': 0.6, 'active_cells': 2.0}
    """
    check_pair(images, adversarials)
    check_threshold(threshold)
    perturbations = adversarials.detach().double() - images.detach().double()
    norms, highest = cell_norms(perturbations, cell_size, stride)
    magnitudes = perturbations.flatten(1).abs()
    invalid = magnitudes.isnan().any(1)
    sizes = PerturbationSize(
        l0=(magnitudes >= threshold).sum(1).double(),
        l1=magnitudes.sum(1),
        l2=magnitudes.square().sum(1).sqrt(),
        linf=magnitudes.amax(1),
        group=norms.sum(1),
        active_cells=(highest >= threshold).sum(1).double(),
    )
    # Counts would take nan for unchanged.
    return PerturbationSize(*(values.masked_fill(invalid, torch.nan) for values in sizes))


def check_threshold(threshold: float) -> None:
    """Raise unless a threshold is a positive number.

    Raises:
        ValueError: If it is not.
    """
    # Written so that nan is refused, too.
    if not isinstance(threshold, int | float) or not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold!r}")


class PerturbationSizes(ImageMeans):
    """The mean sizes of the attacked images' perturbations, and the share of eligible images that were attacked.

    Quantities: the fields of :class:`PerturbationSize`. The sizes of a weak attack are those of the images that fell to
    it, which are the easy ones: ``success_rate`` stands beside them.
    """

    QUANTITIES = PerturbationSize._fields

    def __init__(self) -> None:
        super().__init__(self.QUANTITIES)

    def compute(self) -> dict[str, Estimate]:
        """Return each size's mean, and ``success_rate``, attacked over eligible images, with Wilson's interval."""
        eligible, _, attacked, _ = self.images.tolist()
        return {"success_rate": rate(attacked, eligible), **super().compute()}

    @staticmethod
    def columns(sizes: PerturbationSize) -> dict[str, Tensor]:
        """Return the quantities of every image, ``(N,)`` each, by name; ``nan`` where undefined."""
        return sizes._asdict()
