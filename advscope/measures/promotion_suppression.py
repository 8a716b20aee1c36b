"""Promotion-suppression ratio (PSR): what each cell of a perturbation does to the true and to the target logit."""

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.frozen import frozen
from advscope.measures.base import ImageMeans, check_pair
from advscope.measures.cell_logits import Forward, Logits, check_forward, full_logits, partial_forward, partial_logits
from advscope.measures.correlations import kendall, pearson
from advscope.measures.grid import cell_norms, default_cell_size, grid_cells
from advscope.measures.partial_forward import NotApplicableError
from advscope.measures.significance import significant

RELATIVE_FLOOR = 1e-4
"""The default floor, in units of the range of an image's logits."""

RESOLUTION = 1e-4
"""Norms of cells are told apart down to this share of the image's largest one, for correlations."""

_TYPES = ("suppression", "promotion", "balance")
_READINGS = {"": "cumulative", "_by_count": "count"}
_CORRELATIONS = {"pearson": pearson, "kendall": kendall}


class CellEffects(NamedTuple):
    """What each of ``m`` grid cells of ``N`` perturbations does; float64, ``nan`` in rows where it is undefined."""

    suppression: Tensor
    """d0, the true-class logit that comes back when the cell is removed, at least the floor, ``(N, m)``."""
    promotion: Tensor
    """dt, the target logit that is lost when the cell is removed, at least the floor, ``(N, m)``."""
    score: Tensor
    """s = d0 + dt, ``(N, m)``."""
    ratio: Tensor
    """r = log2(dt / d0), ``(N, m)``: below -1 suppression-, above 1 promotion-dominated, between them balanced."""
    floor: Tensor
    """xi, in logits, ``(N,)``."""
    cells: Tensor
    """``(top, left, bottom, right)`` of each cell, row by row, int64 ``(m, 4)``."""
    norm_l2: Tensor
    """l2 norm of the perturbation in the cell, ``(N, m)``."""
    norm_linf: Tensor
    """l-inf norm of the perturbation in the cell, ``(N, m)``."""
    passes: Tensor
    """Passes that the cells of an image took, full or partial: one for each that is perturbed, int64 ``(N,)``."""
    operations: Tensor
    """Multiply-adds spent on these passes as a share of full passes', ``(N,)``: 1 for full passes, ``nan`` for none."""


def promotion_suppression(
    network: nn.Module,
    images: Tensor,
    adversarials: Tensor,
    labels: Tensor,
    targets: Tensor,
    *,
    cell_size: int | None,
    stride: int | None = None,
    floor: float | None = None,
    chunk_size: int = 64,
    forward: Forward = "auto",
) -> CellEffects:
    r"""Return how each grid cell of a perturbation suppresses the true and promotes the target class.

    .. math::
        d_{0,i} &= \max\{Z(x' - \delta_i)_{t_0} - Z(x')_{t_0}, \xi\} \\
        d_{t,i} &= \max\{Z(x')_t - Z(x' - \delta_i)_t, \xi\} \\
        s_i &= d_{0,i} + d_{t,i}, \qquad r_i = \log_2(d_{t,i} / d_{0,i})

    where x' - delta_i is the adversarial image with the clean pixels put back in cell i, in all channels. One forward
    pass per image and one per cell that is perturbed, each for both classes; cells of several images share a pass. The
    result does not depend on ``chunk_size`` (to the network's own rounding; with
    :class:`~advscope.frozen.MicroBatched` bit by bit). The network is left as found.

    A cell changes only a window of the early feature maps. The *partial forward* computes no more than that, and takes
    the rest from the adversarial image's own maps: the same logits to rounding (BatchNorm is folded), for a share of
    the operations. It applies to networks that :mod:`torch.fx` can trace and that have no forward hooks, and saves
    where convolutions, poolings, BatchNorms and pointwise functions come before anything that mixes all positions. In
    every call it is compared with the full forward for one cell of each group of images whose maps are kept together.

    Args:
        network: Maps images to logits, ``(N, K)``; run in evaluation mode.
        images: Clean images in [0, 1], ``(N, C, H, W)``.
        adversarials: Adversarial images, of the same shape.
        labels: True classes t0, int64 ``(N,)``.
        targets: Target classes t, int64 ``(N,)``; for an untargeted attack the label given to the adversarial image.
        cell_size: Side of a cell, in pixels; ``None`` for :func:`~advscope.measures.grid.default_cell_size`.
        stride: Pixels from one cell to the next, at most ``cell_size``; ``None`` for ``cell_size``. See
            :func:`~advscope.measures.grid.grid_cells`.
        floor: xi, in logits, positive; ``None`` for 1e-4 times the range (max - min) of each image's Z(x').
        chunk_size: Images in one call of the network; bounds the memory of full forwards.
        forward: ``"partial"``, ``"full"``, or ``"auto"``: partial where it applies and spends at most half of the
            operations, else full; with a warning that says why if it does not apply, or fails the comparison.

    Returns:
        The effects. Cells without perturbation are at the floor, with ratio 0, and cost nothing. Rows whose target is
        their label are ``nan`` (and cost one pass), as are those with a ``nan`` among the logits that matter.

    Raises:
        ValueError: If a shape, a type, a class or a setting is not allowed, or if ``forward`` is ``"partial"`` and it
            does not apply; the message says why.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019,
        eq. (1)-(4). https://arxiv.org/abs/1904.02057
    """
    check_pair(images, adversarials)
    check_passes(floor, chunk_size, forward)
    height, width = images.shape[-2:]
    cell_size = default_cell_size(height, width) if cell_size is None else cell_size
    cells = grid_cells(height, width, cell_size, stride).to(images.device)
    norm_l2, norm_linf = cell_norms(adversarials.double() - images.double(), cell_size, stride)
    classes = _checked_classes(labels, targets, len(images))
    same = labels == targets
    # A nan in a perturbation is no zero: the cell is asked for, and answers nan.
    asked = (norm_linf != 0) & ~same[:, None]
    passes = asked.sum(1)
    shares = torch.ones(len(cells), dtype=torch.float64, device=images.device)
    with frozen(network), torch.no_grad():
        given = (network, images, adversarials, cells, asked)
        partial = None
        if len(images):
            partial, _ = partial_forward(network, images[:1], cells, forward)
        if partial is not None:
            try:
                effects = _effects(partial_logits(*given, partial), classes, len(cells))
                shares = partial.shares
            except NotApplicableError as error:
                if forward == "partial":
                    raise ValueError(f'forward="partial" does not apply: {error}; use "full"') from None
                warnings.warn(f"PSR takes the full forward: {error}", stacklevel=2)
                partial = None
        if partial is None:
            effects = _effects(full_logits(*given, chunk_size), classes, len(cells))
    changes, lowest = effects
    lowest = lowest if floor is None else torch.full_like(lowest, floor)
    suppression = changes[..., 0].maximum(lowest[:, None]).masked_fill(same[:, None], torch.nan)
    promotion = (-changes[..., 1]).maximum(lowest[:, None]).masked_fill(same[:, None], torch.nan)
    ratio = (promotion / suppression).log2()
    # 0 / 0 is nan: undefined where no cell is perturbed.
    operations = (asked * shares).sum(1) / passes
    return CellEffects(
        suppression, promotion, suppression + promotion, ratio, lowest, cells, norm_l2, norm_linf, passes, operations
    )


def _effects(logits: Logits, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the changes of both classes' logits, ``(N, m, 2)``, and 1e-4 of each image's range, ``(N,)``; float64."""
    changes = torch.zeros(len(classes), count, 2, dtype=torch.float64, device=classes.device)
    lowest = changes.new_zeros(len(classes))
    before = changes.new_zeros(len(classes), 2)
    for rows, places, found in logits:
        if places is None:
            _check_known(classes[rows], found)
            before[rows] = found.double().gather(1, classes[rows])
            lowest[rows] = RELATIVE_FLOOR * (found.amax(1) - found.amin(1)).double()
            # Zero where a cell changes nothing, nan where the logits are.
            changes[rows] = (before[rows] - before[rows])[:, None]
        else:
            changes[rows, places] = found.double().gather(1, classes[rows]) - before[rows]
    return changes, lowest


def check_passes(floor: float | None, chunk_size: int, forward: str = "auto") -> None:
    """Raise unless the floor, the chunk size and the forward of :func:`promotion_suppression` are allowed.

    Raises:
        ValueError: If one of them is not.
    """
    if not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size!r}")
    if floor is not None and not (isinstance(floor, int | float) and 0 < floor < math.inf):
        raise ValueError(f"floor must be positive and finite, or None for a share of the logits' range, got {floor!r}")
    check_forward(forward)


class PromotionSuppression(ImageMeans):
    """The mean shares of cell types, and the mean correlations of effects with the size of the perturbation.

    ===================================== ============================================================================
    Quantity (per image)                  Meaning
    ===================================== ============================================================================
    ``{type}_share``                      Share of suppression (r < -1), promotion (r > 1) or balance among the active
                                          ones of the most significant cells, cumulative reading
    ``{type}_share_by_count``             The same for the top 70% of cells by count
    ``inactive_share``                    Share of all cells whose both effects are at the floor
    ``passes``                            Passes for the cells of the image: one for each that is perturbed
    ``operations_share``                  Multiply-adds spent on these passes as a share of full passes'
    ``{coefficient}_{effect}_{norm}``     ``pearson`` or ``kendall`` over all cells, of ``suppression``, ``promotion``
                                          or ``score`` with the ``l2`` or ``linf`` norm of the perturbation in the cell
    ===================================== ============================================================================
    """

    QUANTITIES = (
        *(f"{kind}_share{suffix}" for suffix in _READINGS for kind in _TYPES),
        "inactive_share",
        "passes",
        "operations_share",
        *(
            f"{name}_{effect}_{norm}"
            for name in _CORRELATIONS
            for effect in ("suppression", "promotion", "score")
            for norm in ("l2", "linf")
        ),
    )

    def __init__(self) -> None:
        super().__init__(self.QUANTITIES)

    @staticmethod
    def columns(effects: CellEffects) -> dict[str, Tensor]:
        """Return the quantities of every image, ``(N,)`` each, by name.

        ``nan`` where undefined: shares if no active cell is significant; a correlation if the effect or the norm is the
        same in all cells (as for a saturated l-inf attack). Norms that differ by less than 1e-4 of the image's largest
        one count as equal, since images in float32 hold perturbations no more finely.
        """
        columns: dict[str, Tensor] = {}
        undefined = effects.score.isnan().any(1)
        inactive = effects.score <= 2 * effects.floor[:, None] * (1 + 1e-6)
        types = (effects.ratio < -1, effects.ratio > 1, effects.ratio.abs() <= 1)
        for suffix, reading in _READINGS.items():
            shown = significant(effects.score, reading) & ~inactive  # type: ignore[arg-type]
            for kind, cells in zip(_TYPES, types, strict=True):
                # 0 / 0 is nan: undefined where no cell is shown.
                columns[f"{kind}_share{suffix}"] = (cells & shown).sum(1).double() / shown.sum(1)
        columns["inactive_share"] = inactive.double().mean(1).masked_fill(undefined, torch.nan)
        columns["passes"] = effects.passes.double()
        columns["operations_share"] = effects.operations
        for name, correlation in _CORRELATIONS.items():
            for effect in ("suppression", "promotion", "score"):
                for norm in ("l2", "linf"):
                    sizes = _resolved(getattr(effects, f"norm_{norm}"))
                    columns[f"{name}_{effect}_{norm}"] = correlation(getattr(effects, effect), sizes)
        return columns


def _checked_classes(labels: Tensor, targets: Tensor, count: int) -> Tensor:
    """Return labels and targets side by side, ``(N, 2)``."""
    for name, classes in (("labels", labels), ("targets", targets)):
        if classes.dtype != torch.int64 or classes.shape != (count,):
            raise ValueError(
                f"{name} must be int64 ({count},), got {classes.dtype} {tuple(classes.shape)}: one class an image"
            )
    return torch.stack([labels, targets], dim=1)


def _check_known(classes: Tensor, logits: Tensor) -> None:
    """Refuse what are no logits, and classes that have none."""
    if logits.ndim != 2:
        raise ValueError(f"network must return logits (N, K), got shape {tuple(logits.shape)}")
    for name, wanted in zip(("labels", "targets"), classes.unbind(1), strict=True):
        if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < logits.shape[1]:
            raise ValueError(
                f"{name} must be in 0 ... {logits.shape[1] - 1}, got {int(wanted.min())} ... {int(wanted.max())}"
            )


def _resolved(norms: Tensor) -> Tensor:
    """Return norms in steps of 1e-4 of each row's largest, so that rounding is neither order nor variation."""
    return (norms / (RESOLUTION * norms.amax(1, keepdim=True))).round()
