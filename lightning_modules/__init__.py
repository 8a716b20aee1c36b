"""Training objectives, and the evaluation step that all of them share."""

from lightning_modules.classifier import Classifier
from lightning_modules.madry import MadryClassifier
from lightning_modules.natural import NaturalClassifier
from lightning_modules.schedules import Constant, Cosine, OneCycle, Schedule, Steps

__all__ = [
    "Classifier",
    "Constant",
    "Cosine",
    "MadryClassifier",
    "NaturalClassifier",
    "OneCycle",
    "Schedule",
    "Steps",
]
