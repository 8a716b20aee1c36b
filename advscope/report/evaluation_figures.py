"""All figures of one evaluation, written beside its results."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advscope.intervals import Estimate
from advscope.report.examples import Arrays
from advscope.report.figure_plan import Evidence, Plan, figure_plan, read_evidence
from advscope.report.figure_style import FORMATS, save_figure
from advscope.report.row_values import Columns
from advscope.report.unit_plan import UnitEvidence
from advscope.tables.unit_rows import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def evaluation_figures(
    name: str,
    figures: Mapping[str, Mapping[str, Any] | Estimate],
    arrays: Arrays,
    columns: Columns | None = None,
    class_names: Sequence[str] | None = None,
    counts: Mapping[str, Mapping[str, int]] | None = None,
    units: Units | UnitEvidence | None = None,
    settings: Mapping[str, Any] | None = None,
    examples: int = 4,
) -> dict[str, "Figure"]:
    """Return every figure that an evaluation's results allow.

    Args:
        name: Name of the run, for the titles.
        figures: Figures by log key, as in a summary.
        arrays: Examples, as :func:`~advscope.report.examples.load_examples` returns them.
        columns: The per-image rows, as :func:`~advscope.report.image_rows.read_columns` returns them.
        class_names: Name of each class.
        counts: For each attack its ``attacked`` images among others, for the titles.
        units: The per-unit table, where there is one, or all that a dissection left behind.
        settings: The evaluation's settings, which name the explainer and its quantile.
        examples: Images in figures of examples, at most.

    Returns:
        Figures by name, as :func:`~advscope.report.figure_plan.figure_plan` lists them.
    """
    unit = units if isinstance(units, UnitEvidence) else UnitEvidence(units)
    evidence = Evidence(name, figures, arrays, columns or {}, class_names, counts or {}, unit, settings or {})
    return {name: draw() for name, draw in figure_plan(evidence, examples).items()}


def draw_figures(
    folder: str | Path,
    only: Sequence[str] = (),
    examples: int = 4,
    formats: Sequence[str] = FORMATS,
    output: str | Path | None = None,
) -> list[Path]:
    """Draw the figures that the results in a folder allow, and return the PNG files.

    Args:
        folder: ``RUN/results/NAME``, with ``summary.json``, ``images.csv`` and ``arrays.npz``.
        only: Names of the figures to draw, or patterns of names such as ``*_examples``; all of them without.
        examples: Images in figures of examples, at most.
        formats: ``png``, ``svg`` or both. The files returned are those of the first of them, PNG by default.
        output: Where to write; ``folder/figures/`` without.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If one of them is damaged, or ``only`` fits no figure that the results allow.
    """
    if examples < 1:
        raise ValueError(f"examples must be at least 1, got {examples}")
    plan = chosen_figures(figure_plan(read_evidence(folder), examples), only, folder)
    # One at a time: a large evaluation has a hundred figures, and each holds its pictures while it lives.
    where = Path(folder) / "figures" if output is None else Path(output)
    written = [save_figures(where, {name: draw()}, formats) for name, draw in plan.items()]
    return [path for paths in written for path in paths]


def chosen_figures(plan: Plan, only: Sequence[str], folder: str | Path) -> Plan:
    """Return the figures whose name fits one of the patterns, all without a pattern.

    Raises:
        ValueError: If a pattern fits none.
    """
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in plan):
            there = f"it allows {', '.join(plan)}" if plan else "it allows none"
            raise ValueError(f"{folder} allows no figure {pattern!r}; {there}")
    return {
        name: draw for name, draw in plan.items() if not only or any(fnmatchcase(name, pattern) for pattern in only)
    }


def save_figures(folder: str | Path, figures: Mapping[str, "Figure"], formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write figures as ``folder/NAME.FORMAT`` and return the files of the first format.

    Args:
        folder: Where to write; it is made where it is missing.
        figures: Figures by name.
        formats: ``png``, ``svg`` or both.

    Raises:
        ValueError: If there is no format, or another.
    """
    if not formats or any(kind not in FORMATS for kind in formats):
        raise ValueError(f"formats must be among {', '.join(FORMATS)}, got {', '.join(formats) or 'none'}")
    for name, figure in figures.items():
        for kind in formats:
            save_figure(figure, Path(folder) / f"{name}.{kind}")
    return [Path(folder) / f"{name}.{formats[0]}" for name in figures]
