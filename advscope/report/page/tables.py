"""The tables of the page: HTML that is complete before any script runs."""

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from advscope.intervals import Estimate
from advscope.report.comparison import Comparison, Line
from advscope.report.comparison_tables import chance_levels, label_in_section, leaves_out_zero, section_of, show_number
from advscope.report.page.run_style import run_style
from advscope.report.page.unit_plots import layers_of
from advscope.report.run_results import RunResults
from advscope.report.significance_figure import table_layers
from advscope.tables.csv_table import Table
from advscope.tables.unit_rows import Units

UNSET = "\N{EN DASH}"
"""Stands where there is nothing."""

_P = ("p", "p_corrected", "p_matched", "p_matched_corrected")


def figure_table(comparison: Comparison) -> str:
    """Return all figures of a comparison: each run's own, then the paired differences to the first run.

    A difference whose 95% interval leaves out 0 says so, with its sign, in words. Rows outside of the short table have
    the class ``more``.
    """
    first, *others = comparison.runs
    names = [*(_run_name(position, name) for position, name in enumerate(comparison.runs))]
    names += [f"{_run_name(place, other)} <span class=minus>minus {_escape(first)}</span>"
              for place, other in enumerate(others, start=1)]  # fmt: skip
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    parts = [f"<table class=figures><thead><tr><th scope=col>figure</th>{head}</tr></thead>"]
    section, chances = None, chance_levels(comparison)
    for line in comparison.lines:
        if section_of(line) != section:
            section = section_of(line)
            main = any(other.main for other in comparison.lines if section_of(other) == section)
            more = "" if main else " class=more"
            parts.append(
                f"<tbody{more}><tr class=section><th scope=colgroup colspan={1 + len(names)}>"
                f"<span>{_escape(section)}</span></th></tr></tbody>"
            )
        parts.append(_row(line, chances.get(line.key, (None,) * len(line.figures))))
    return "".join([*parts, "</table>"])


def run_table(runs: Sequence[RunResults]) -> str:
    """Return what the runs are: network, objective, weights, and how many images each attack could count."""
    attacks = sorted({attack for run in runs for attack in run.attacks})
    heads = ["run", "objective", "network", "checkpoint", "images", *(f"{attack}: attacked" for attack in attacks)]
    rows = []
    for position, run in enumerate(runs):
        described, data = run.summary["run"], run.summary["data"]
        cells = [described.get(name, UNSET) for name in ("objective", "network", "checkpoint")] + [data["n"]]
        for attack in attacks:
            counted = run.summary["counts"].get(attack)
            cells.append(_outcomes(counted) if isinstance(counted, dict) else "not run")
        rows.append((_run_name(position, run.name), [_escape(cell) for cell in cells]))
    return _table(heads, rows)


def settings_table(runs: Sequence[RunResults]) -> str:
    """Return the settings that are not the same in every run; an empty string where all are."""
    flat = [dict(_flat(run.summary["settings"])) for run in runs]
    keys = sorted({key for settings in flat for key in settings})
    rows = []
    for key in keys:
        found = [settings.get(key, UNSET) for settings in flat]
        if any(value != found[0] for value in found):
            rows.append((_breakable(key), [_escape(value) for value in found]))
    heads = [_run_name(position, run.name) for position, run in enumerate(runs)]
    return _table(["setting", *heads], rows, escaped=True) if rows else ""


def unit_table(runs: Sequence[RunResults], units: Sequence[Units | None]) -> str:
    """Return how many units each layer of each run has, of what kind, and how many detect a concept."""
    heads = ["run", "layer", "units", "threshold 0", "threshold maximum", "detectors", "concepts detected"]
    rows = []
    for layer in layers_of(units):
        for position, (run, found) in enumerate(zip(runs, units, strict=True)):
            if found is None or not (here := found["layer"] == layer).any():
                continue
            detectors = here & found["detector"]
            cells = [here.sum(), *((here & (found["kind"] == kind)).sum() for kind in ("zero", "maximum"))]
            cells += [detectors.sum(), len(set(found["concept"][detectors].tolist()))]
            rows.append((_run_name(position, run.name), [_escape(layer), *(str(int(cell)) for cell in cells)]))
    return _table(heads, rows)


def significance_table(runs: Sequence[RunResults], tables: Sequence[Table | None]) -> str:
    """Return the p-values of all units by layer, run and N: plain and area-matched, each with its corrected one."""
    found = {str(place): table for place, table in enumerate(tables) if table is not None}
    tops = sorted({int(top) for table in found.values() for top in table["top"]})
    rows = []
    for layer in table_layers(found):
        for place, table in found.items():
            here = (table["layer"] == layer) & (table["regular"] == 0)
            if not here.any():
                continue
            cells = [_escape(layer)]
            for top in tops:
                row = np.flatnonzero(here & (table["top"] == top))
                cells.append(_p_values({name: float(table[name][row[0]]) for name in _P} if len(row) else {}))
            rows.append((_run_name(int(place), runs[int(place)].name), cells))
    return _table(["run", "layer", *(f"N = {top}" for top in tops)], rows)


def _p_values(found: dict[str, float]) -> str:
    """Return one N's p-values; what is undefined is a dash."""
    if not found:
        return f"<span class=none>{UNSET}</span>"
    p, corrected, matched, matched_corrected = (show_number(found[name]) for name in _P)
    small = f"corrected {corrected}</small><small>matched {matched}, corrected {matched_corrected}"
    return f"<b>{p}</b> <small>{small}</small>"


def _row(line: Line, chances: Sequence[Estimate | None]) -> str:
    """Return a figure's row; a score's chance level stands in the same cell."""
    found = zip(line.figures, chances, strict=True)
    cells = "".join(f"<td>{_figure(figure)}{_chance(chance)}</td>" for figure, chance in found)
    cells += "".join(f"<td>{_difference(difference)}</td>" for difference in line.differences)
    more = "" if line.main else " class=more"
    # One body a row: what belongs to the long table alone is hidden as a whole.
    return f"<tbody{more}><tr><th scope=row>{_breakable(label_in_section(line))}</th>{cells}</tr></tbody>"


def _figure(figure: Estimate | None) -> str:
    """Return a figure with its interval, n, and how many are undefined."""
    if figure is None:
        return f"<span class=none>{UNSET}</span>"
    undefined = f", {figure.undefined} undefined" if figure.undefined else ""
    return f"<b>{show_number(figure.value)}</b> {_interval(figure)}<small>n = {figure.n}{undefined}</small>"


def _chance(chance: Estimate | None) -> str:
    """Return the chance level that a score is read against, nothing where there is none."""
    return "" if chance is None else f"<small>chance {show_number(chance.value)}</small>"


def _difference(difference: Estimate | None) -> str:
    """Return a paired difference, marked where its interval leaves out 0."""
    if difference is None:
        return f"<span class=none>{UNSET}</span>"
    sign = "+" if difference.value > 0 else ""
    shown = f"{sign}{show_number(difference.value)}"
    if not leaves_out_zero(difference):
        return f"<span>{shown}</span> {_interval(difference)}<small>n = {difference.n}</small>"
    up = difference.value > 0
    word = "\N{BLACK UP-POINTING TRIANGLE} above 0" if up else "\N{BLACK DOWN-POINTING TRIANGLE} below 0"
    mark = f"<mark class={'up' if up else 'down'}>{word}</mark>"
    return f"<b>{shown}</b> {_interval(difference)}<small>{mark} n = {difference.n}</small>"


def _interval(figure: Estimate) -> str:
    """Return the interval, nothing where there is none."""
    low, high = show_number(figure.low), show_number(figure.high)
    return "" if low == high == "-" else f"<span class=interval>[{low}, {high}]</span>"


def _outcomes(counted: dict[str, Any]) -> str:
    """Return an attack's counts in words."""
    return f"{counted['attacked']} of {counted['eligible']} eligible"


def _flat(settings: Any, path: str = "") -> list[tuple[str, str]]:
    """Return settings by their dotted names."""
    if isinstance(settings, dict) and settings:
        return [pair for key in settings for pair in _flat(settings[key], f"{path}.{key}" if path else str(key))]
    if isinstance(settings, list) and settings:
        return [pair for place, item in enumerate(settings) for pair in _flat(item, f"{path}[{place}]")]
    return [(path, "none" if settings is None else str(settings))]


def _run_name(position: int, name: str) -> str:
    """Return a run's name with its mark."""
    look = run_style(position)
    return f"<span class=run><i class=glyph data-run={position} aria-hidden=true>{look.glyph}</i>{_escape(name)}</span>"


def _table(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], escaped: bool = False) -> str:
    """Return a table; rows are HTML already, heads if they are ``escaped``."""
    head = "".join(f"<th scope=col>{text if escaped else _escape(text)}</th>" for text in heads)
    body = "".join(
        f"<tr><th scope=row>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for name, cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _breakable(name: str) -> str:
    """Return a log key or a setting's name as HTML that can go on in a new line behind each of its parts."""
    return re.sub(r"([/._])", r"\1<wbr>", _escape(name))


def _escape(text: Any) -> str:
    """Return text as HTML."""
    return html.escape(str(text))
