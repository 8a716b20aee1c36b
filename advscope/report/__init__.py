"""What an evaluation leaves behind: its figures and rows as files, its plots, and the comparison of runs."""

from advscope.report.accuracy_figure import accuracy_figure
from advscope.report.bias_figure import bias_curve, bias_figure
from advscope.report.cell_figure import cell_figure
from advscope.report.comparison import Comparison, Line, compare
from advscope.report.comparison_tables import to_csv, to_markdown, to_rich
from advscope.report.control_figure import control_figure
from advscope.report.correlation_figure import correlation_figure
from advscope.report.correlations_figure import correlations_figure
from advscope.report.evaluation_figures import draw_figures, evaluation_figures, save_figures
from advscope.report.example_figure import example_figure
from advscope.report.examples import attacks_of, load_examples, save_examples
from advscope.report.figure_plan import Evidence, figure_plan, read_evidence
from advscope.report.figure_style import save_figure
from advscope.report.image_rows import read_columns, read_rows, write_columns, write_rows
from advscope.report.map_figure import map_figure
from advscope.report.masking_rows import read_masking, write_masking
from advscope.report.page import to_html
from advscope.report.paper_tables import paper_tables, write_paper_tables
from advscope.report.quantile_figure import quantile_figure
from advscope.report.ratio_figure import ratio_figure
from advscope.report.refined_figure import refined_figure
from advscope.report.refined_sizes_figure import refined_sizes_figure
from advscope.report.run_results import RunResults, read_results
from advscope.report.score_figure import score_figure
from advscope.report.shards import Shards
from advscope.report.summary import estimate, read_summary, write_summary
from advscope.report.targets_figure import targets_figure
from advscope.report.unit_rows import read_units, write_units

__all__ = [
    "Comparison",
    "Evidence",
    "Line",
    "RunResults",
    "Shards",
    "accuracy_figure",
    "attacks_of",
    "bias_curve",
    "bias_figure",
    "cell_figure",
    "compare",
    "control_figure",
    "correlation_figure",
    "correlations_figure",
    "draw_figures",
    "estimate",
    "evaluation_figures",
    "example_figure",
    "figure_plan",
    "load_examples",
    "map_figure",
    "paper_tables",
    "quantile_figure",
    "ratio_figure",
    "read_columns",
    "read_evidence",
    "read_masking",
    "read_results",
    "read_rows",
    "read_summary",
    "read_units",
    "refined_figure",
    "refined_sizes_figure",
    "save_examples",
    "save_figure",
    "save_figures",
    "score_figure",
    "targets_figure",
    "to_csv",
    "to_html",
    "to_markdown",
    "to_rich",
    "write_columns",
    "write_masking",
    "write_paper_tables",
    "write_rows",
    "write_summary",
    "write_units",
]
