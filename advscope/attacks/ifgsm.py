"""The iterative fast gradient sign method."""

from advscope.attacks.losses import LossName
from advscope.attacks.norms import NormName
from advscope.attacks.pgd import PGD


class IFGSM(PGD):
    """PGD from the clean image, without a random start (also: basic iterative method).

    Args:
        eps: Radius of the ball, in image units.
        step_size: Length of a step; ``None`` for ``eps / steps``, as the StrAttack and EAD papers use it.
        steps: Number of steps.
        norm: As for :class:`~advscope.attacks.PGD`.
        loss: As for :class:`~advscope.attacks.PGD`.

    References:
        Kurakin et al., *Adversarial examples in the physical world*, ICLR Workshop 2017,
        https://arxiv.org/abs/1607.02533, section 2.2.
    """

    def __init__(
        self,
        eps: float = 8 / 255,
        step_size: float | None = None,
        steps: int = 10,
        norm: NormName = "Linf",
        loss: LossName = "cross_entropy",
    ) -> None:
        length = eps / max(steps, 1) if step_size is None else step_size
        super().__init__(eps=eps, step_size=length, steps=steps, norm=norm, loss=loss, random_start=False)
