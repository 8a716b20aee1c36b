"""The attack of Carlini and Wagner."""

from typing import Literal

from torch import Tensor

from advscope.attacks.penalty.adam import AdamSolver, VariableName
from advscope.attacks.penalty.attack import PenaltyAttack
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.fewest_pixels import fewest_pixels
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.penalty.largest_change import smallest_largest_change
from advscope.attacks.penalty.size import ElasticNetSize, Size
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.settings import choice, positive


class CarliniWagner(PenaltyAttack):
    r"""The attack of Carlini and Wagner: the nearest image that is classified as wished, by the l2 norm or another.

    .. math:: \min_\delta \; \|\delta\|_2^2 + c \, \max\{\kappa - m(x_0 + \delta), 0\}, \quad x_0 + \delta \in [0, 1]^n

    by Adam, with a binary search on c, both for each image by itself; m is the margin of the logits
    (:func:`~advscope.attacks.losses.margin`). Differs from the published code: see ``docs/attacks.md``. Returned is the
    success of least norm, else the image of the last step (and the clean image where it has the margin already).

    Args:
        steps: Most steps of a run of Adam, at least 1.
        binary_search_steps: Runs, each from the clean image with the next c, at least 1.
        confidence: kappa, the margin in logits that the returned image has to reach, at least 0.
        learning_rate: Of Adam's first step; it decays to a tenth. In pixel values for ``"box"``.
        variable: ``"box"``: Adam moves the pixels and clips them; ``"tanh"``: it moves w, with x a little more than
            half its range times tanh(w). Both move pixels that are exactly 0 or 1.
        initial_constant: c of the first run, positive; ``None`` for the multiplier of the network linearised at the
            clean image, which fits logits of any scale (the published code starts at 0.001).
        abort_early: Whether a run ends once its objective, in the second half of the steps, has not improved by 0.01%
            within a tenth of them.
        polish_steps: Steps along the decision boundary from the best image, each solving the linearised problem
            exactly; 0 leaves them out, as the published code.
        norm: ``"L2"``; ``"L0"``: pixels are given back round by round, those that matter least first, each round a
            whole l2 attack on the pixels left; ``"Linf"``: Adam climbs the margin within a bound on each value's
            change, which is lowered below each success (``binary_search_steps``, ``learning_rate``, ``variable``,
            ``initial_constant``, ``abort_early`` and ``polish_steps`` do not count).

    Raises:
        ValueError: If a setting is not as said here.

    References:
        Carlini and Wagner, *Towards Evaluating the Robustness of Neural Networks*, S&P 2017,
        https://arxiv.org/abs/1608.04644, section VI: A (l2), B (l0), C (l-inf).
    """

    def __init__(
        self,
        steps: int = 200,
        binary_search_steps: int = 9,
        confidence: float = 0.0,
        learning_rate: float = 0.02,
        variable: VariableName = "box",
        initial_constant: float | None = None,
        abort_early: bool = True,
        polish_steps: int = 100,
        norm: Literal["L2", "L0", "Linf"] = "L2",
    ) -> None:
        super().__init__(steps, binary_search_steps, confidence, initial_constant, abort_early, polish_steps)
        self.learning_rate = positive("learning_rate", learning_rate)
        self.norm = choice("norm", norm, ("L2", "L0", "Linf"))
        self.variable = choice("variable", variable, ("box", "tanh"))

    def minimise(self, hinge: Hinge, box: Box) -> Tensor:
        """Return the best successes by the norm; see :meth:`PenaltyAttack.minimise`."""
        if self.norm == "L0":
            return fewest_pixels(hinge, box, super().minimise)
        if self.norm == "Linf":
            return smallest_largest_change(hinge, box, self.steps, type(self).__name__)
        return super().minimise(hinge, box)

    def size(self) -> Size:
        """Return the squared l2 norm."""
        return ElasticNetSize()

    def solver(self, box: Box) -> Solver:
        """Return Adam."""
        return AdamSolver(box, self.steps, self.learning_rate, self.variable, _doubled)


def _doubled(perturbations: Tensor) -> Tensor:
    """Return the gradient of the squared l2 norm."""
    return 2 * perturbations
