"""The attacks of torchattacks, foolbox and adv-lib, each under one signature and with its own faults.

All are targeted, with 9 x 200 steps for C&W and the elastic net, 4 x 200 for StrAttack, 1,800 for the minimum-norm
references; what is not named here is the library's default (the first constant of a search, step sizes, the early
abort of a search step). Nothing is repaired. Faults that their results show, seen in torchattacks 3.5.1, foolbox 3.3.4
and adv-lib 0.2.8:

- torchattacks ``CW`` takes the highest other logit after a multiplication with a mask, so that a zero stands in for
  the target's logit; it has no search for its constant, keeps the smallest image of the right class whatever ``kappa``,
  freezes pixels that are 0 or 1, and stops where the loss *of the batch* has not fallen.
- torchattacks ``EADEN`` subtracts ``kappa`` from the logits of all targets in the batch, not from each image's own.
- torchattacks ``EADEN`` updates the images that it measures the distance to, since they share memory with its iterate:
  almost every element of a sparse attack ends up changed, and some images leave [0, 1] (by 6e-5 at most in 16).
- foolbox returns black images where C&W and EAD find nothing, and stops a search step by the loss of the batch.
- adv-lib's ``alma`` adds its tolerance to the margin with the wrong sign in targeted mode: given a confidence of 1
  there, as its documentation says, it stops 1 short of the target. Minus the confidence is what it takes, and is given.
- adv-lib's ``ddn`` has no confidence.
- adv-lib's ``str_attack`` picks the elements that its refinement leaves out by a percentile over the whole batch.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

Attack = Callable[[nn.Module, Tensor, Tensor, Tensor, float], Tensor]
"""Takes a network, images, labels, targets and a confidence, and returns adversarial images."""

REQUIRED = ("torchattacks", "foolbox", "eagerpy", "git", "adv_lib", "visdom", "websocket")
"""Modules that the peers import; adv-lib imports visdom, and visdom websocket, for plots that nobody asks for."""

SEARCH, STEPS, GROUP_SEARCH, BETA, CELL = 9, 200, 4, 0.01, 2


class Way(NamedTuple):
    """One way to adversarial images.

    Attributes:
        attack: The attack.
        confidence: Whether it has a setting for the margin.
    """

    attack: Attack
    confidence: bool = True


def torchattacks_cw(network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, confidence: float) -> Tensor:
    """Return torchattacks' C&W images: one constant, its default, and all steps that others search with."""
    from torchattacks import CW

    attack = CW(network, kappa=confidence, steps=SEARCH * STEPS)
    attack.set_mode_targeted_by_label(quiet=True)
    return attack(images, targets)


def torchattacks_ead(network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, confidence: float) -> Tensor:
    """Return torchattacks' elastic-net images."""
    from torchattacks import EADEN

    attack = EADEN(network, kappa=confidence, binary_search_steps=SEARCH, max_iterations=STEPS, beta=BETA)
    attack.set_mode_targeted_by_label(quiet=True)
    return attack(images, targets)


def foolbox_attack(
    network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, confidence: float, *, name: str
) -> Tensor:
    """Return foolbox's C&W or elastic-net images."""
    import foolbox

    criterion = foolbox.criteria.TargetedMisclassification(targets)
    attack = getattr(foolbox.attacks, name)(binary_search_steps=SEARCH, steps=STEPS, confidence=confidence)
    raw, _, _ = attack(foolbox.PyTorchModel(network, (0, 1)), images, criterion, epsilons=None)
    return raw


def adv_lib_cw(network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, confidence: float) -> Tensor:
    """Return adv-lib's C&W images."""
    from adv_lib.attacks import carlini_wagner_l2

    settings = {"binary_search_steps": SEARCH, "max_iterations": STEPS, "confidence": confidence}
    return carlini_wagner_l2(network, images, targets, targeted=True, **settings)


def adv_lib_str(
    network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, confidence: float, *, retrain: bool
) -> Tensor:
    """Return adv-lib's StrAttack images, with or without the 8 x 400 steps of its refinement."""
    from adv_lib.attacks import str_attack

    settings = {"binary_search_steps": GROUP_SEARCH, "max_iterations": STEPS, "confidence": confidence}
    cells = {"group_size": CELL, "stride": CELL, "retrain": retrain}
    return str_attack(network, images, targets, targeted=True, **settings, **cells)


def adv_lib_alma(
    network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, confidence: float, *, distance: str
) -> Tensor:
    """Return the images of adv-lib's augmented Lagrangian, whose first step is 0.5 (l1) or 0.1 (l2) long."""
    from adv_lib.attacks import alma

    start = {"l1": 0.5, "l2": 0.1}[distance]
    settings = {"num_steps": SEARCH * STEPS, "init_lr_distance": start, "logit_tolerance": -confidence}
    return alma(network, images, targets, targeted=True, distance=distance, **settings)


def adv_lib_ddn(network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, confidence: float) -> Tensor:
    """Return the images of adv-lib's DDN, not quantised."""
    from adv_lib.attacks import ddn

    return ddn(network, images, targets, targeted=True, steps=SEARCH * STEPS, levels=None)


PEERS: dict[str, dict[str, Way]] = {
    "cw": {
        "torchattacks CW": Way(torchattacks_cw),
        "foolbox L2CarliniWagnerAttack": Way(partial(foolbox_attack, name="L2CarliniWagnerAttack")),
        "adv-lib carlini_wagner_l2": Way(adv_lib_cw),
    },
    "ead": {
        "torchattacks EADEN": Way(torchattacks_ead),
        "foolbox EADAttack": Way(partial(foolbox_attack, name="EADAttack")),
    },
    "str": {
        "adv-lib str_attack": Way(partial(adv_lib_str, retrain=False)),
        "adv-lib str_attack, refined": Way(partial(adv_lib_str, retrain=True)),
    },
    "minimum": {
        "adv-lib alma, l2": Way(partial(adv_lib_alma, distance="l2")),
        "adv-lib alma, l1": Way(partial(adv_lib_alma, distance="l1")),
        "adv-lib ddn": Way(adv_lib_ddn, confidence=False),
    },
}
"""The peers' ways, by family and name."""
