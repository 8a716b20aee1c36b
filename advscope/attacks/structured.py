"""The structured attack (Str-attack)."""

from torch import Tensor

from advscope.attacks.penalty.admm import AdmmSolver
from advscope.attacks.penalty.attack import PenaltyAttack
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.groups import Groups, GroupSize
from advscope.attacks.penalty.size import Size
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.settings import nonnegative, positive, whole


class Structured(PenaltyAttack):
    r"""The structured attack (Str-attack): a perturbation of few groups of pixels that is classified as wished.

    .. math::
        \min_\delta \; \gamma \|\delta\|_2^2 + \tau \sum_g \|\delta_g\|_2 + c \, \max\{\kappa - m(x_0 + \delta), 0\},
        \quad x_0 + \delta \in [0, 1]^n, \; \|\delta\|_\infty \le \epsilon

    by ADMM, with a binary search on c, both for each image by itself; m is the margin of the logits
    (:func:`~advscope.attacks.losses.margin`). The groups are the windows of the promotion-suppression ratio
    (:func:`~advscope.measures.grid.grid_cells`), over all channels. Differs from the published code: see
    ``docs/attacks.md``. Returned is the success of least group lasso, else the image of the last step.

    Args:
        steps: Most steps of a run of ADMM, at least 1.
        binary_search_steps: Runs, each from the clean image with the next c, at least 1.
        confidence: kappa, the margin in logits that the returned image has to reach, at least 0.
        cell_size: Side of a group in pixels, at most the image's. The published code has 2 at 32 pixels and 13 at 299.
        stride: Pixels from one group to the next, at most ``cell_size``; ``None`` for ``cell_size``. With a smaller one
            groups overlap: a pixel is changed only if none of its groups is zero.
        l2: gamma, positive.
        lasso: tau, positive.
        penalty: rho of ADMM, positive: how fast its copies are made to agree.
        damping: alpha of ADMM, at least 0: how much a step is held back, growing as the root of the number of steps.
        eps: Largest change of a value, or ``None`` for no such bound.
        published_weights: Whether ADMM counts the copy for the l2 norm twice, as the published code.
        initial_constant: As for :class:`~advscope.attacks.CarliniWagner`.
        abort_early: As for :class:`~advscope.attacks.CarliniWagner`.
        polish_steps: As for :class:`~advscope.attacks.CarliniWagner`.

    Raises:
        ValueError: If a setting is not as said here; when called, if a group is larger than the image.

    References:
        Xu et al., *Structured Adversarial Attack: Towards General Implementation and Better Interpretability*, ICLR
        2019, https://arxiv.org/abs/1808.01664, Eq. (3) and section 4.
    """

    def __init__(
        self,
        steps: int = 200,
        binary_search_steps: int = 6,
        confidence: float = 0.0,
        cell_size: int = 2,
        stride: int | None = None,
        l2: float = 1.0,
        lasso: float = 2.0,
        penalty: float = 30.0,
        damping: float = 15.0,
        eps: float | None = None,
        published_weights: bool = False,
        initial_constant: float | None = None,
        abort_early: bool = True,
        polish_steps: int = 100,
    ) -> None:
        super().__init__(steps, binary_search_steps, confidence, initial_constant, abort_early, polish_steps, eps)
        self.cell_size = whole("cell_size", cell_size, 1)
        self.stride = None if stride is None else whole("stride", stride, 1)
        if stride is not None and stride > cell_size:
            raise ValueError(
                f"stride must be at most cell_size = {cell_size}, got {stride}: no pixel may lie in no group"
            )
        self.l2 = positive("l2", l2)
        self.lasso = positive("lasso", lasso)
        self.penalty = positive("penalty", penalty)
        self.damping = nonnegative("damping", damping)
        if not isinstance(published_weights, bool):
            raise ValueError(f"published_weights must be true or false, got {published_weights!r}")
        self.published_weights = published_weights

    def check(self, images: Tensor) -> None:
        """Raise a ``ValueError`` if a group is larger than the images."""
        height, width = images.shape[-2:]
        if self.cell_size > min(height, width):
            raise ValueError(f"cell_size must be at most the images' {height} x {width} pixels, got {self.cell_size}")

    def size(self) -> Size:
        """Return the group lasso."""
        return GroupSize(self._groups(), self.l2, self.lasso)

    def solver(self, box: Box) -> Solver:
        """Return ADMM."""
        weights = (self.l2, self.lasso, self.penalty, self.damping)
        return AdmmSolver(box, self.steps, self._groups(), *weights, self.published_weights)

    def _groups(self) -> Groups:
        """Return the groups."""
        return Groups(self.cell_size, self.cell_size if self.stride is None else self.stride)
