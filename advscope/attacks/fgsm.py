"""The fast gradient sign method."""

from advscope.attacks.losses import LossName
from advscope.attacks.norms import NormName
from advscope.attacks.pgd import PGD


class FGSM(PGD):
    r"""One step of length ``eps`` from the clean image: PGD with one step and no random start.

    .. math::
        x' = \mathrm{clip}_{[0, 1]} \left( x + \epsilon \, \mathrm{sign}(\nabla_x L) \right)

    Args:
        eps: Length of the step, in image units, at least 0.
        norm: ``"Linf"`` (the gradient's sign) or ``"L2"`` (the normalised gradient, also called FGM).
        loss: As for :class:`~advscope.attacks.PGD`.

    Raises:
        ValueError: If a setting is not as said here.

    References:
        Goodfellow et al., *Explaining and Harnessing Adversarial Examples*, ICLR 2015,
        https://arxiv.org/abs/1412.6572, section 4.
    """

    def __init__(self, eps: float = 8 / 255, norm: NormName = "Linf", loss: LossName = "cross_entropy") -> None:
        super().__init__(eps=eps, step_size=eps, steps=1, norm=norm, loss=loss, random_start=False)
