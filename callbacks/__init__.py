"""Monitors, one per measure, and what a run leaves behind."""

from callbacks.activation_bias import ActivationBiasMonitor
from callbacks.activation_maps import ActivationMapsMonitor
from callbacks.batch_monitor import BatchMonitor
from callbacks.collapse_guard import CollapseGuard, TrainingCollapsedError
from callbacks.dissection import DissectionMonitor
from callbacks.evaluation_progress import EvaluationProgress
from callbacks.evaluation_record import EvaluationRecord
from callbacks.example_monitor import ExampleMonitor
from callbacks.interpretability import InterpretabilityMonitor
from callbacks.monitor import Monitor
from callbacks.perturbation_size import PerturbationSizeMonitor
from callbacks.promotion_suppression import PromotionSuppressionMonitor
from callbacks.run_record import RunRecord, versions
from callbacks.unit_masking import UnitMaskingMonitor
from callbacks.wandb_run import WandbAxes, finish_wandb, wandb_logger

__all__ = [
    "ActivationBiasMonitor",
    "ActivationMapsMonitor",
    "BatchMonitor",
    "CollapseGuard",
    "DissectionMonitor",
    "EvaluationProgress",
    "EvaluationRecord",
    "ExampleMonitor",
    "InterpretabilityMonitor",
    "Monitor",
    "PerturbationSizeMonitor",
    "PromotionSuppressionMonitor",
    "RunRecord",
    "TrainingCollapsedError",
    "UnitMaskingMonitor",
    "WandbAxes",
    "finish_wandb",
    "versions",
    "wandb_logger",
]
