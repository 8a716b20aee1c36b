"""Explainers: heatmaps that say where in an image a network finds a class."""

from advscope.explainers.base import Explainer
from advscope.explainers.cam import CAM
from advscope.explainers.grad_cam import GradCAM

__all__ = ["CAM", "Explainer", "GradCAM"]
