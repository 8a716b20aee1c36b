"""Attacks: values that turn clean images into adversarial ones."""

from advscope.attacks.base import Attack, succeeded
from advscope.attacks.carlini_wagner import CarliniWagner
from advscope.attacks.elastic_net import ElasticNet
from advscope.attacks.fgsm import FGSM
from advscope.attacks.first_success import FirstSuccess
from advscope.attacks.ifgsm import IFGSM
from advscope.attacks.pgd import PGD
from advscope.attacks.refined import Refined
from advscope.attacks.smallest_ifgsm import SmallestIFGSM
from advscope.attacks.structured import Structured
from advscope.attacks.torch_attack import TorchAttack

__all__ = [
    "FGSM",
    "IFGSM",
    "PGD",
    "Attack",
    "CarliniWagner",
    "ElasticNet",
    "FirstSuccess",
    "Refined",
    "SmallestIFGSM",
    "Structured",
    "TorchAttack",
    "succeeded",
]
