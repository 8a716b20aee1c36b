"""Networks that map images in [0, 1] to logits: each normalises in its first layer."""

from advscope.networks.cifar_resnet import CIFARResNet
from advscope.networks.library import Library
from advscope.networks.madry_resnet import MadryResNet
from advscope.networks.normalize import Normalize, PerImageStandardize
from advscope.networks.preact_resnet import PreActResNet18
from advscope.networks.preprocessing import Preprocessing
from advscope.networks.resnet import ResNet18, ResNet34, ResNet50
from advscope.networks.unit_masking import UnitMasking
from advscope.networks.weights import load_weights

__all__ = [
    "CIFARResNet",
    "Library",
    "MadryResNet",
    "Normalize",
    "PerImageStandardize",
    "PreActResNet18",
    "Preprocessing",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "UnitMasking",
    "load_weights",
]
