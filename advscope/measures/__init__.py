"""Measures: pure functions over every row that they are given, each with a Metric that applies who counts."""

from advscope.measures.activation_bias import ActivationBias, LayerBias, activation_bias
from advscope.measures.base import ImageMeans
from advscope.measures.correlations import kendall, pearson
from advscope.measures.grid import cell_norms, grid_cells, without_cells
from advscope.measures.interpretability_score import InterpretabilityScore, MaskedShare, interpretability_score
from advscope.measures.promotion_suppression import CellEffects, PromotionSuppression, promotion_suppression
from advscope.measures.robust_accuracy import RobustAccuracy
from advscope.measures.significance import significant

__all__ = [
    "ActivationBias",
    "CellEffects",
    "ImageMeans",
    "InterpretabilityScore",
    "LayerBias",
    "MaskedShare",
    "PromotionSuppression",
    "RobustAccuracy",
    "activation_bias",
    "cell_norms",
    "grid_cells",
    "interpretability_score",
    "kendall",
    "pearson",
    "promotion_suppression",
    "significant",
    "without_cells",
]
