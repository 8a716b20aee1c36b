"""The elastic-net attack (EAD)."""

from typing import Literal

from torch import Tensor

from advscope.attacks.penalty.attack import PenaltyAttack
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.fista import FistaSolver
from advscope.attacks.penalty.size import ElasticNetSize, Size
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.row_sums import row_sums
from advscope.attacks.settings import choice, positive


class ElasticNet(PenaltyAttack):
    r"""The elastic-net attack (EAD): a sparse perturbation that is classified as wished.

    .. math::
        \min_\delta \; \|\delta\|_2^2 + \beta \|\delta\|_1 + c \, \max\{\kappa - m(x_0 + \delta), 0\}, \quad
        x_0 + \delta \in [0, 1]^n

    by FISTA, with a binary search on c, both for each image by itself; m is the margin of the logits
    (:func:`~advscope.attacks.losses.margin`). Differs from the published code: see ``docs/attacks.md``. Returned is the
    success of least value by the decision rule, else the image of the last step.

    Args:
        steps: Most steps of a run of FISTA, at least 1.
        binary_search_steps: Runs, each from the clean image with the next c, at least 1.
        confidence: kappa, the margin in logits that the returned image has to reach, at least 0.
        beta: Weight of the l1 norm, positive.
        decision_rule: By what successes are compared: ``"EN"``, the elastic-net value, or ``"L1"``, the l1 norm.
        shrinkage: ``"step"``: a step shrinks by beta times its length, which is what minimises the problem above;
            ``"published"``: by beta itself, as the published code, which minimises the problem with a beta that is
            1 / ``learning_rate`` times as large: far sparser perturbations of larger l2 norm.
        learning_rate: Length of the first step; it decays as the root of the share of steps left.
        initial_constant: As for :class:`~advscope.attacks.CarliniWagner`.
        abort_early: As for :class:`~advscope.attacks.CarliniWagner`.
        polish_steps: As for :class:`~advscope.attacks.CarliniWagner`.

    Raises:
        ValueError: If a setting is not as said here.

    References:
        Chen et al., *EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial Examples*, AAAI 2018,
        https://arxiv.org/abs/1709.04114, algorithm 1.
    """

    def __init__(
        self,
        steps: int = 200,
        binary_search_steps: int = 9,
        confidence: float = 0.0,
        beta: float = 0.01,
        decision_rule: Literal["EN", "L1"] = "EN",
        shrinkage: Literal["step", "published"] = "step",
        learning_rate: float = 0.01,
        initial_constant: float | None = None,
        abort_early: bool = True,
        polish_steps: int = 100,
    ) -> None:
        super().__init__(steps, binary_search_steps, confidence, initial_constant, abort_early, polish_steps)
        self.beta = positive("beta", beta)
        self.decision_rule = choice("decision_rule", decision_rule, ("EN", "L1"))
        self.shrinkage = choice("shrinkage", shrinkage, ("step", "published"))
        self.learning_rate = positive("learning_rate", learning_rate)

    def size(self) -> Size:
        """Return the elastic net that the steps minimise."""
        return ElasticNetSize(self.beta if self.shrinkage == "step" else self.beta / self.learning_rate)

    def worth(self, perturbations: Tensor) -> Tensor:
        """Return the value of the decision rule."""
        if self.decision_rule == "L1":
            return row_sums(perturbations.abs())
        return ElasticNetSize(self.beta).value(perturbations)

    def solver(self, box: Box) -> Solver:
        """Return FISTA."""
        return FistaSolver(box, self.steps, self.learning_rate, self.beta, self.shrinkage == "published")
