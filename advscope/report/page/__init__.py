"""The comparison of runs as a page: tables as HTML, plots for Plotly, pictures, and the files that show them."""

from advscope.report.page.document import results_to_html, to_html

__all__ = ["results_to_html", "to_html"]
