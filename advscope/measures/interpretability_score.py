"""Interpretability score (IS): how much of a perturbation lies where the class activation map is high."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advscope.measures.base import ImageMeans
from advscope.measures.salient_mask import check_quantile, salient_mask


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
    return masked_share(perturbations, salient_mask(heatmaps, quantile))


def masked_share(perturbations: Tensor, masks: Tensor) -> MaskedShare:
    """Return the share of each perturbation's norm that lies in its mask; see :func:`interpretability_score`.

    Args:
        perturbations: Adversarial minus clean images, ``(N, C, H, W)``.
        masks: bool ``(N, H, W)``.

    Returns:
        Score, chance, excess and mask share; all ``nan`` where a mask is empty or a perturbation holds a ``nan``.
    """
    mask = masks.flatten(1)
    energy = perturbations.detach().double().square().sum(1).flatten(1)
    invalid = ~mask.any(1) | energy.isnan().any(1)
    # Both sums of the same kind, so that a mask that holds everything scores exactly 1.
    score = ((energy * mask).sum(1) / energy.sum(1)).sqrt().masked_fill(invalid, torch.nan)
    mask_share = mask.double().mean(1).masked_fill(invalid, torch.nan)
    chance = mask_share.sqrt()
    return MaskedShare(score, chance, (score - chance) / (1 - chance), mask_share)


PAIRS = ("clean", "adversarial")
"""Whose map a score is taken with: of the clean image for its label, of the adversarial one for the target."""
CONTROLS = ("noise", "shuffled", "shuffled_cells")
"""Perturbations that scores are compared with; see :mod:`~advscope.measures.control_perturbations`."""


class InterpretabilityScore(ImageMeans):
    """The mean interpretability scores with respect to two maps: (x0, t0), ``clean``, and (x', t), ``adversarial``.

    Quantities: ``score``, ``chance``, ``excess`` and ``mask_share``, each ``_clean`` (map of the clean image for its
    label) and ``_adversarial`` (map of the adversarial image for the target); of controls ``score_{pair}_{control}``.
    They are there once for each of ``suffixes``, which is put behind the name.

    Args:
        suffixes: As :func:`suffix` gives them; ``""`` for the main explainer at the main quantile.
        controls: Of which control perturbations there are scores, among :data:`CONTROLS`.

    Raises:
        ValueError: If a control is unknown, or a suffix is given twice.
    """

    def __init__(self, suffixes: Sequence[str] = ("",), controls: Sequence[str] = ()) -> None:
        unknown = sorted(set(controls) - set(CONTROLS))
        if unknown:
            raise ValueError(f"controls must be among {', '.join(CONTROLS)}, got {', '.join(unknown)}")
        self.controls = tuple(controls)
        super().__init__([name for suffix in suffixes for pair in PAIRS for name in self._names(pair, suffix)])

    def _names(self, pair: str, suffix: str) -> list[str]:
        fields = [f"{field}_{pair}{suffix}" for field in MaskedShare._fields]
        return fields + [f"score_{pair}_{control}{suffix}" for control in self.controls]

    def columns(
        self, pair: str, masks: Tensor, perturbations: Mapping[str, Tensor], suffix: str = ""
    ) -> dict[str, Tensor]:
        """Return the quantities of every image for one mask, ``(N,)`` each, by name; ``nan`` where undefined.

        Args:
            pair: One of :data:`PAIRS`.
            masks: bool ``(N, H, W)``.
            perturbations: By name: ``""`` for the attack's, and one for each control, ``(N, C, H, W)``.
            suffix: One of the suffixes.
        """
        values = [*masked_share(perturbations[""], masks)]
        values += [masked_share(perturbations[control], masks).score for control in self.controls]
        return dict(zip(self._names(pair, suffix), values, strict=True))


def suffix(explainer: str = "", quantile: float | None = None) -> str:
    """Return what is put behind the name of a quantity: the explainer, and the quantile in percent.

    Args:
        explainer: Name of a further explainer; none for the main one.
        quantile: A further quantile; ``None`` for the main one.

    Raises:
        ValueError: If the name is not allowed, or the quantile is out of range.

    Example:
        >>> suffix("grad_cam_pp", 0.6)
        '_grad_cam_pp_at_60'
    """
    if explainer:
        check_explainer_name(explainer)
    if quantile is None:
        return f"_{explainer}" if explainer else ""
    check_quantile(quantile)
    return f"{f'_{explainer}' if explainer else ''}_at_{percent(quantile)}"


def percent(quantile: float) -> int:
    """Return a quantile in percent, rounded."""
    return round(100 * quantile)


def check_explainer_name(name: str) -> None:
    """Check that quantities named after an explainer can be told from all others.

    Raises:
        ValueError: If they cannot.
    """
    reserved = any(name == control or name.startswith(f"{control}_") for control in CONTROLS)
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name) or re.search(r"(^|_)at_\d+$", name) or reserved:
        raise ValueError(
            f"an explainer's name must be lower case letters, digits and underscores between them, not end in _at_NN, "
            f"and not begin with {' or '.join(CONTROLS[:2])}, got {name!r}"
        )
