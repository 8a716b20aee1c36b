"""The iterative fast gradient sign method."""

from advscope.attacks.losses import LossName
from advscope.attacks.norms import NormName
from advscope.attacks.pgd import PGD
from advscope.attacks.settings import whole


class IFGSM(PGD):
    """PGD from the clean image, without a random start; also called the basic iterative method.

    Args:
        eps: Radius of the ball, in image units, at least 0.
        step_size: Length of a step, in image units; ``None`` for ``eps / steps``, as the EAD and StrAttack papers have
            it.
        steps: Number of steps; 0 returns the clean images.
        norm: As for :class:`~advscope.attacks.PGD`.
        loss: As for :class:`~advscope.attacks.PGD`.

    Raises:
        ValueError: If a setting is not as said here.

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
        if step_size is None:
            step_size = eps / max(whole("steps", steps, 0), 1)
        super().__init__(eps=eps, step_size=step_size, steps=steps, norm=norm, loss=loss, random_start=False)
