"""The comparison of runs as one page that opens from disk, without network or server."""

import base64
import gzip
import html
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from advscope.report.comparison import Comparison, compare_results
from advscope.report.figure_style import CELL_CLASSES
from advscope.report.page.figure_plots import accuracy_plot, bias_plot, interpretability_plot, share_plot
from advscope.report.page.image_panels import examples_of, image_panels
from advscope.report.page.masking_plots import masking_of, masking_plots
from advscope.report.page.pictures import Pictures
from advscope.report.page.run_style import run_style
from advscope.report.page.significance_plots import shown_tops, significance_of, significance_plots
from advscope.report.page.tables import figure_table, run_table, settings_table, significance_table, unit_table
from advscope.report.page.training_curves import training_plots
from advscope.report.page.unit_cards import unit_cards
from advscope.report.page.unit_plots import detector_plots, first_shown, layers_of, unit_plot, units_of
from advscope.report.run_results import RunResults, read_all


def to_html(runs: Sequence[str | Path], evaluation: str = "standard") -> str:
    """Return the comparison of runs as a page of HTML; the same text for the same files.

    The page holds all that it needs (styles, scripts, the plotting library, pictures) and is forbidden to fetch
    anything. Every text from data, names and configs is shown as text, whatever it contains.

    Args:
        runs: Folders of trainings, the one that the others are compared with first.
        evaluation: Name of the folder under ``results/`` of each.

    Returns:
        The runs side by side (every figure with n and 95% interval, paired differences, curves, units) and image by
        image. A run without curves, example images or units is named in the place where they would stand.

    Raises:
        FileNotFoundError: If a run has no such results.
        ValueError: As for :func:`~advscope.report.comparison.compare`, or if a file is damaged.
    """
    read = read_all(runs, evaluation)
    return results_to_html(read, compare_results(read))


def results_to_html(read: Sequence[RunResults], comparison: Comparison) -> str:
    """Return the page of runs whose results are read already, and their comparison; as :func:`to_html` otherwise."""
    content, tables = _content(read, comparison)
    return Template(_part("page.html")).substitute(
        title=html.escape(f"{', '.join(comparison.runs)}: {comparison.evaluation}"),
        evaluation=html.escape(comparison.evaluation),
        data=html.escape(comparison.data),
        notes="".join(f"<li>{html.escape(note)}</li>" for note in comparison.notes),
        style=_part("page.css"),
        script=_part("page.js"),
        content=to_script(content),
        plotly=_plotly(),
        **tables,
    )


def to_script(value: Any) -> str:
    r"""Return a value as JSON that can stand inside a script element: no text in it ends the element.

    Example:
        >>> to_script({"name": "</script>\u2028"})
        '{"name":"\\u003c/script\\u003e\\u2028"}'
    """
    # Escaped as ASCII, U+2028 and U+2029 are harmless; the three others could be read as markup.
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _content(read: Sequence[RunResults], comparison: Comparison) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the page's script draws, and the tables that are HTML already."""
    attacks = sorted({attack for run in read for attack in run.attacks})
    units = units_of(read)
    with_units = any(found is not None for found in units)
    significance = significance_of(read)
    with_significance = any(table is not None for table in significance)
    curves, without_curves = training_plots(read)
    examples, pictures = examples_of(read), Pictures()
    content = {
        "runs": [{"name": run.name} | run_style(position)._asdict() for position, run in enumerate(read)],
        "attacks": attacks,
        "classes": [str(name) for name in read[0].summary["data"].get("classes") or []],
        "cellClasses": [{"name": kind.name, "colour": kind.colour} for kind in CELL_CLASSES],
        "layers": layers_of(units),
        "firstLayer": first_shown(units),
        "tops": shown_tops(significance),
        "plots": {
            "accuracy": accuracy_plot(read, attacks),
            "training": curves,
            "psr": {attack: share_plot(read, attack) for attack in attacks},
            "is": {attack: interpretability_plot(read, attack) for attack in attacks},
            "bias": {
                quantity: {attack: bias_plot(read, attack, quantity) for attack in attacks}
                for quantity in ("relative", "raw")
            },
            "units": unit_plot(read, units) if with_units else None,
            "detectors": detector_plots(read, units) if with_units else {},
            "significance": significance_plots(read, significance) if with_significance else {},
            "masking": masking_plots(read, masking_of(read)),
        },
        "images": {attack: image_panels(read, examples, attack, pictures) for attack in attacks},
        "unitCards": unit_cards(read, pictures),
        "pictures": pictures.addresses,
    }
    tables = {
        "runs": run_table(read),
        "figures": figure_table(comparison),
        "units": unit_table(read, units) if with_units else "",
        "significance": significance_table(read, significance) if with_significance else "",
        "units_missing": _units_missing(read, [found is None for found in units]),
        "curves_missing": _note(
            f"No training curves of {', '.join(without_curves)}: no metrics.jsonl in the run's folder."
            if without_curves
            else ""
        ),
        "settings": settings_table(read) or "<p>All settings are the same in every run.</p>",
    }
    return content, tables


def _units_missing(runs: Sequence[RunResults], missing: Sequence[bool]) -> str:
    """Say how to get units where there are none."""
    without = [run for run, absent in zip(runs, missing, strict=True) if absent]
    return _note(
        f"No units of {', '.join(run.name for run in without)}: add callbacks.DissectionMonitor to the evaluation and"
        f" run python evaluate.py --run {without[0].folder}"
        if without
        else ""
    )


def _note(text: str) -> str:
    """Return a line of text, nothing for none."""
    return f"<p class=note>{html.escape(text)}</p>" if text else ""


def _part(name: str) -> str:
    """Return a file that lies beside this one."""
    return (files(__package__) / name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    """Return the plotting library, compressed to a third; the page unpacks it."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
