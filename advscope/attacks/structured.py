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
    def __init__(
        self,
        steps: int = 200,
        binary_search_steps: int = 4,
        confidence: float = 0.0,
        cell_size: int = 2,
        stride: int | None = None,
        l2: float = 1.0,
        lasso: float = 2.0,
        penalty: float = 15.0,
        damping: float = 5.0,
        eps: float | None = None,
        published_weights: bool = False,
        initial_constant: float | None = None,
        abort_early: bool = True,
        polish_steps: int = 50,
    ) -> None:
        super().__init__(steps, binary_search_steps, confidence, initial_constant, abort_early, polish_steps, eps)
        self.cell_size = whole("cell_size", cell_size, 1)
        self.stride = cell_size if stride is None else whole("stride", stride, 1)
        self.l2, self.lasso = positive("l2", l2), positive("lasso", lasso)
        self.penalty, self.damping = positive("penalty", penalty), nonnegative("damping", damping)
        self.published_weights = published_weights

    def size(self) -> Size:
        return GroupSize(Groups(self.cell_size, self.stride), self.l2, self.lasso)

    def solver(self, box: Box) -> Solver:
        return AdmmSolver(box, self.steps, Groups(self.cell_size, self.stride), self.l2, self.lasso, self.penalty, self.damping, self.published_weights)
