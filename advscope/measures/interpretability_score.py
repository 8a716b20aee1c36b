"""Interpretability score (IS): how much of a perturbation lies where the class activation map is high."""

from typing import NamedTuple

import torch
from torch import Tensor

from advscope.measures.base import ImageMeans
from advscope.measures.salient_mask import salient_mask


class MaskedShare(NamedTuple):
    """The share of ``N`` perturbations that lies in the masks of their heatmaps; float64 ``(N,)`` each."""

    score: Tensor
    """Share of the l2 norm inside the mask, in [0, 1]; ``nan`` without a perturbation."""
    chance: Tensor
    """Score of a perturbation that is equally large everywhere, sqrt(mask share), in (0, 1]."""
    excess: Tensor
    """(score - chance) / (1 - chance), at most 1, 0 at chance; ``nan`` also where the mask is the whole image."""
    mask_share: Tensor
    """Share of positions in the mask, in (0, 1]; above 1 - quantile where values tie."""


def interpretability_score(perturbations: Tensor, heatmaps: Tensor, quantile: float = 0.7) -> MaskedShare:
    r"""Return the share of each perturbation's norm at the positions where its heatmap is in the upper 30%.

    .. math:: B_i = 1[F_i \ge \nu], \qquad \mathrm{IS}(\delta) = \|B \circ \delta\|_2 / \|\delta\|_2

    with nu the ``quantile`` of that image's own heatmap F, exactly as :func:`~advscope.measures.salient_mask` says.
    Positions that tie with nu are in the mask, and ``mask_share`` tells. The mask spans all channels. Only the order of
    a heatmap's values matters; give it raw, since a ReLU makes ties that mask the whole image.

    Args:
        perturbations: Adversarial minus clean images, ``(N, C, H, W)``.
        heatmaps: Raw maps of any scale, ``(N, H, W)``.
        quantile: Share of positions below the mask, in [0, 1).

    Returns:
        Score, chance, excess and mask share; all ``nan`` where a heatmap or perturbation holds a ``nan``.

    Raises:
        ValueError: If a shape or type is wrong, or ``quantile`` out of range.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (5), (6). https://arxiv.org/abs/1904.02057

    Example:
        >>> heatmap = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        >>> perturbation = torch.tensor([[[[0.0, 0.0], [3.0, 4.0]]]])
        >>> interpretability_score(perturbation, heatmap).score.tolist()  # mask: the position of 3; sqrt(16 / 25)
        [0.8]
    """
    if perturbations.ndim != 4 or not perturbations.is_floating_point():
        raise ValueError(
            f"perturbations must be float (N, C, H, W), got {perturbations.dtype} {tuple(perturbations.shape)}"
        )
    expected = (len(perturbations), *perturbations.shape[-2:])
    if heatmaps.shape != expected or not heatmaps.is_floating_point():
        raise ValueError(f"heatmaps must be float {expected}, got {heatmaps.dtype} {tuple(heatmaps.shape)}")
    mask = salient_mask(heatmaps, quantile).flatten(1)
    energy = perturbations.detach().double().square().sum(1).flatten(1)
    invalid = heatmaps.detach().flatten(1).isnan().any(1) | energy.isnan().any(1)
    # Both sums of the same kind, so that a mask that holds everything scores exactly 1.
    score = ((energy * mask).sum(1) / energy.sum(1)).sqrt().masked_fill(invalid, torch.nan)
    mask_share = mask.double().mean(1).masked_fill(invalid, torch.nan)
    chance = mask_share.sqrt()
    return MaskedShare(score, chance, (score - chance) / (1 - chance), mask_share)


class InterpretabilityScore(ImageMeans):
    """The mean interpretability scores with respect to two maps: (x0, t0), ``clean``, and (x', t), ``adversarial``.

    Quantities: ``score``, ``chance``, ``excess`` and ``mask_share``, each ``_clean`` (map of the clean image for its
    label) and ``_adversarial`` (map of the adversarial image for the target).
    """

    QUANTITIES = tuple(f"{field}_{pair}" for pair in ("clean", "adversarial") for field in MaskedShare._fields)

    def __init__(self) -> None:
        super().__init__(self.QUANTITIES)

    @staticmethod
    def columns(clean: MaskedShare, adversarial: MaskedShare) -> dict[str, Tensor]:
        """Return the quantities of every image, ``(N,)`` each, by name; ``nan`` where undefined."""
        return {f"{field}_clean": values for field, values in clean._asdict().items()} | {
            f"{field}_adversarial": values for field, values in adversarial._asdict().items()
        }
