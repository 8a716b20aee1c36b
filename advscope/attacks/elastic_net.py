"""The elastic-net attack (EAD)."""

from typing import Literal

from advscope.attacks.penalty.attack import PenaltyAttack
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.fista import FistaSolver
from advscope.attacks.penalty.size import ElasticNetSize, Size
from advscope.attacks.penalty.solver import Solver
from advscope.attacks.settings import choice, nonnegative, positive


class ElasticNet(PenaltyAttack):
    def __init__(
        self,
        steps: int = 100,
        binary_search_steps: int = 9,
        confidence: float = 0.0,
        beta: float = 0.01,
        decision_rule: Literal["EN", "L1"] = "EN",
        shrinkage: Literal["step", "published"] = "step",
        learning_rate: float = 0.01,
        initial_constant: float | None = None,
        abort_early: bool = True,
        polish_steps: int = 50,
    ) -> None:
        super().__init__(steps, binary_search_steps, confidence, initial_constant, abort_early, polish_steps)
        self.beta = nonnegative("beta", beta)
        self.decision_rule = choice("decision_rule", decision_rule, ("EN", "L1"))
        self.shrinkage = choice("shrinkage", shrinkage, ("step", "published"))
        self.learning_rate = positive("learning_rate", learning_rate)

    def size(self) -> Size:
        return ElasticNetSize(self.beta if self.shrinkage == "step" else self.beta / self.learning_rate)

    def solver(self, box: Box) -> Solver:
        return FistaSolver(box, self.steps, self.learning_rate, self.beta, self.shrinkage == "published")
