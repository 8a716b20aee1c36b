"""Explainers: heatmaps that say where in an image a network finds a class."""

from advscope.explainers.base import Explainer
from advscope.explainers.cam import CAM
from advscope.explainers.grad_cam import GradCAM
from advscope.explainers.grad_cam_plus_plus import GradCAMPlusPlus
from advscope.explainers.input_gradient import InputGradient
from advscope.explainers.integrated_gradients import IntegratedGradients
from advscope.explainers.scaling import scaled, scaled_jointly
from advscope.explainers.smooth_grad import SmoothGrad

__all__ = [
    "CAM",
    "Explainer",
    "GradCAM",
    "GradCAMPlusPlus",
    "InputGradient",
    "IntegratedGradients",
    "SmoothGrad",
    "scaled",
    "scaled_jointly",
]
