"""The command lines of ``train.py`` and ``evaluate.py``: the one place that knows LightningCLI."""

from cli.base import PROJECT
from cli.configs import laid_over, read_overlay, read_yaml, with_fractions
from cli.evaluation import EvaluateCLI
from cli.messages import one_line_errors, quieten
from cli.training import TrainCLI

__all__ = [
    "PROJECT",
    "EvaluateCLI",
    "TrainCLI",
    "laid_over",
    "one_line_errors",
    "quieten",
    "read_overlay",
    "read_yaml",
    "with_fractions",
]
