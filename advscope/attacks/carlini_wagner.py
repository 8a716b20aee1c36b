"""The attack of Carlini and Wagner."""

from torch import Tensor

from advscope.attacks.penalty.adam import AdamSolver, VariableName
from advscope.attacks.penalty.attack import PenaltyAttack
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.size import ElasticNetSize, Size
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.settings import choice, positive


class CarliniWagner(PenaltyAttack):
    def __init__(
        self,
        steps: int = 100,
        binary_search_steps: int = 9,
        confidence: float = 0.0,
        learning_rate: float = 0.005,
        variable: VariableName = "box",
        initial_constant: float | None = None,
        abort_early: bool = True,
        polish_steps: int = 50,
    ) -> None:
        super().__init__(steps, binary_search_steps, confidence, initial_constant, abort_early, polish_steps)
        self.learning_rate = positive("learning_rate", learning_rate)
        self.variable = choice("variable", variable, ("box", "tanh"))

    def size(self) -> Size:
        return ElasticNetSize()

    def solver(self, box: Box) -> Solver:
        return AdamSolver(box, self.steps, self.learning_rate, self.variable, _doubled)


def _doubled(perturbations: Tensor) -> Tensor:
    return 2 * perturbations
