"""Measures: pure functions over every row that they are given, each with a Metric that applies who counts."""

from advscope.measures.activation_bias import ActivationBias, LayerBias, activation_bias, activation_biases
from advscope.measures.activation_maps import activation_maps
from advscope.measures.attack_cost import AttackCost
from advscope.measures.base import ImageMeans
from advscope.measures.control_perturbations import noise_control, shuffled_cells_control, shuffled_control
from advscope.measures.correlations import kendall, pearson
from advscope.measures.dissection.concept_table import ConceptTable, ImageConcepts
from advscope.measures.dissection.concept_tally import ConceptTally
from advscope.measures.dissection.dissect import dissect
from advscope.measures.dissection.dissected_layer import DissectedLayer
from advscope.measures.dissection.dissection import Dissection
from advscope.measures.dissection.mask_counters import mask_counter
from advscope.measures.dissection.mask_counts import MaskCounts
from advscope.measures.dissection.order_statistics import TopQuantile
from advscope.measures.dissection.settings import DissectionSettings
from advscope.measures.dissection.unit_masks import unit_masks
from advscope.measures.dissection.unit_sensitivity import UnitSensitivity
from advscope.measures.dissection.unit_significance import top_units_p_values
from advscope.measures.grid import cell_mask, cell_norms, grid_cells, without_cells
from advscope.measures.interpretability_score import (
    InterpretabilityScore,
    MaskedShare,
    interpretability_score,
    masked_share,
)
from advscope.measures.masking_curve import MaskedOutcome, MaskingPoint, masking_curve
from advscope.measures.perturbation_size import PerturbationSize, PerturbationSizes, perturbation_size
from advscope.measures.promotion_suppression import CellEffects, PromotionSuppression, promotion_suppression
from advscope.measures.robust_accuracy import RobustAccuracy
from advscope.measures.salient_mask import salient_mask
from advscope.measures.salient_pixels import SalientPixels
from advscope.measures.significance import significant
from advscope.measures.significant_cells import SignificantCells
from advscope.measures.unit_orders import unit_orders

__all__ = [
    "ActivationBias",
    "AttackCost",
    "CellEffects",
    "ConceptTable",
    "ConceptTally",
    "DissectedLayer",
    "Dissection",
    "DissectionSettings",
    "ImageConcepts",
    "ImageMeans",
    "InterpretabilityScore",
    "LayerBias",
    "MaskCounts",
    "MaskedOutcome",
    "MaskedShare",
    "MaskingPoint",
    "PerturbationSize",
    "PerturbationSizes",
    "PromotionSuppression",
    "RobustAccuracy",
    "SalientPixels",
    "SignificantCells",
    "TopQuantile",
    "UnitSensitivity",
    "activation_bias",
    "activation_biases",
    "activation_maps",
    "cell_mask",
    "cell_norms",
    "dissect",
    "grid_cells",
    "interpretability_score",
    "kendall",
    "mask_counter",
    "masked_share",
    "masking_curve",
    "noise_control",
    "pearson",
    "perturbation_size",
    "promotion_suppression",
    "salient_mask",
    "shuffled_cells_control",
    "shuffled_control",
    "significant",
    "top_units_p_values",
    "unit_masks",
    "unit_orders",
    "without_cells",
]
