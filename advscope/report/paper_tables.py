"""The paper's Tables 1, 2 and A1 from an evaluation's results, with the published figures beside ours."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from advscope.intervals import Estimate, mean
from advscope.report.published_figures import CORRELATIONS, METHOD_OF, METHODS, NETWORKS, SCORES, SIZES, Pair
from advscope.report.run_results import RunResults
from advscope.tables.atomic_file import write_atomically

_EFFECTS = {"suppression": "d0", "promotion": "dt", "score": "s"}
_PAIRS = {"clean": "(x0, t0)", "adversarial": "(x', t)"}
_UNKNOWN: Pair = (None, None)


class TableRow(NamedTuple):
    """A figure of the paper, ours and the published ones."""

    attack: str
    """Name of the attack in the evaluation."""
    method: str
    """The paper's name of it."""
    quantity: str
    figure: Estimate
    published: Pair
    """For each of :data:`~advscope.report.published_figures.NETWORKS`; None where the paper has none."""
    beside: tuple[Estimate, ...] = ()
    """What stands beside the figure: one for each of the table's further columns."""


class PaperTable(NamedTuple):
    """A table of the paper."""

    name: str
    """``table1``, ``table2`` or ``tableA1``: the name of its files."""
    title: str
    beside: tuple[str, ...]
    """Names of further columns."""
    rows: tuple[TableRow, ...]


class _Attack(NamedTuple):
    name: str
    method: str
    settings: Any
    region: str | None


def paper_tables(results: RunResults) -> list[PaperTable]:
    """Return those of the paper's tables that an evaluation allows, for those of its attacks that are the paper's.

    ============ ==================================================================== =================================
    Table        Figures                                                              Needs
    ============ ==================================================================== =================================
    ``table1``   Pearson correlations of d0, dt, s with a cell's l2 norm; Kendall's   ``PromotionSuppressionMonitor``
                 tau beside them
    ``table2``   IS for (x0, t0) and (x', t); its chance level and excess beside it   ``InterpretabilityMonitor``
    ``tableA1``  Sizes and success rate, original and refined; beside them the mean   ``PerturbationSizeMonitor``, and
                 ratio of refined to original over images attacked by both            attacks with their ``Refined``
    ============ ==================================================================== =================================

    Args:
        results: As :func:`~advscope.report.run_results.read_results` returns them.
    """
    attacks = _attacks(results.summary)
    plain = [attack for attack in attacks if attack.region is None]
    refined = [(attack, _origin(attack, plain)) for attack in attacks if attack.region is not None]
    pairs = [(attack, origin) for attack, origin in refined if origin is not None]
    tables = [_table_1(results.figures, plain), _table_2(results.figures, plain), _table_a1(results, pairs)]
    return [table for table in tables if table.rows]


def write_paper_tables(results: RunResults) -> list[Path]:
    """Write the tables as ``NAME.md`` and ``NAME.csv`` into the folder of the evaluation; return the Markdown files."""
    tables = paper_tables(results)
    heading = f"{results.name}, {results.summary['name']}: {results.summary['data']['n']} images"
    for name in ("table1", "table2", "tableA1"):
        for old in (results.results / f"{name}.md", results.results / f"{name}.csv"):
            old.unlink(missing_ok=True)  # of an evaluation that had others
    for table in tables:
        write_atomically(results.results / f"{table.name}.md", to_markdown(table, heading).encode())
        write_atomically(results.results / f"{table.name}.csv", to_csv(table).encode())
    return [results.results / f"{table.name}.md" for table in tables]


def to_markdown(table: PaperTable, heading: str) -> str:
    """Return a table as Markdown: ours with its interval and n, and the published figures in the next columns."""
    columns = ["attack", "quantity", "ours", "95% interval", "n", *table.beside, *(f"published, {n}" for n in NETWORKS)]
    lines = [
        f"**{table.title}** ({heading}; published: Xu et al. 2019, 5,000 ImageNet images at 299 px)",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'|'.join(['---', '---', *['---:'] * (len(columns) - 2)])}|",
    ]
    for row in table.rows:
        ours = row.figure
        undefined = f" ({ours.undefined} undefined)" if ours.undefined else ""
        interval = f"[{_shown(ours.low)}, {_shown(ours.high)}]"
        fields = [f"{row.method} (`{row.attack}`)", row.quantity, _shown(ours.value), interval, f"{ours.n}{undefined}"]
        fields += [
            f"{_shown(each.value)} [{_shown(each.low)}, {_shown(each.high)}]" if each.n else "" for each in row.beside
        ]
        fields += ["" if value is None else _shown(value) for value in row.published]
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


def to_csv(table: PaperTable) -> str:
    """Return a table as CSV, one row per figure; fields are empty where a figure is undefined or not published."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    beside = [f"{name}{suffix}" for name in table.beside for suffix in ("", " low", " high", " n")]
    ours = ["value", "low", "high", "n", "undefined"]
    writer.writerow(["attack", "method", "quantity", *ours, *beside, *(f"published {name}" for name in NETWORKS)])
    for row in table.rows:
        fields = [*_numbers(row.figure), row.figure.n, row.figure.undefined]
        further = [field for each in row.beside for field in (*_numbers(each), each.n)]
        published = ["" if value is None else value for value in row.published]
        writer.writerow([row.attack, row.method, row.quantity, *fields, *further, *published])
    return text.getvalue()


def _table_1(figures: Mapping[str, Estimate], attacks: Sequence[_Attack]) -> PaperTable:
    rows = []
    for attack in attacks:
        for effect, symbol in _EFFECTS.items():
            ours, tau = (figures.get(f"test/{attack.name}/psr/{name}_{effect}_l2") for name in ("pearson", "kendall"))
            if ours is not None and tau is not None:
                published = CORRELATIONS[attack.method][effect]
                rows.append(TableRow(attack.name, attack.method, symbol, ours, published, (tau,)))
    title = "Table 1: correlation (Pearson) of d0, dt and s with the l2 norm of the perturbation in a cell"
    return PaperTable("table1", title, ("Kendall's tau",), tuple(rows))


def _table_2(figures: Mapping[str, Estimate], attacks: Sequence[_Attack]) -> PaperTable:
    rows = []
    for attack in attacks:
        for pair, symbol in _PAIRS.items():
            found = [figures.get(f"test/{attack.name}/is/{name}_{pair}") for name in ("score", "chance", "excess")]
            ours, *beside = (each for each in found if each is not None) if None not in found else (None,)
            if ours is not None:
                published = SCORES[attack.method][pair]
                rows.append(TableRow(attack.name, attack.method, f"IS {symbol}", ours, published, tuple(beside)))
    return PaperTable("table2", "Table 2: interpretability score", ("chance", "excess over chance"), tuple(rows))


def _table_a1(results: RunResults, pairs: Sequence[tuple[_Attack, _Attack]]) -> PaperTable:
    rows = []
    for refined, original in pairs:
        for place, attack in enumerate((original, refined)):
            for quantity in SIZES[attack.method][0]._fields:
                ours = results.figures.get(f"test/{attack.name}/size/{quantity}")
                if ours is None:
                    continue
                # The paper refines under S1 alone.
                known = place == 0 or refined.region == "S1"
                published = getattr(SIZES[attack.method][place], quantity) if known else _UNKNOWN
                ratio = _ratio(results, original.name, attack.name, f"size/{quantity}")
                label = f"{quantity}, {'original' if place == 0 else f'refined under {refined.region}'}"
                rows.append(TableRow(attack.name, attack.method, label, ours, published, (ratio,)))
    title = "Table A1: sizes of the original and the refined attacks, in image units"
    # The original of two refinements comes once.
    once = {(row.attack, row.quantity): row for row in rows}
    return PaperTable("tableA1", title, ("refined / original, paired",), tuple(once.values()))


def _ratio(results: RunResults, original: str, refined: str, column: str) -> Estimate:
    """Return the mean ratio of a size over the images that both attacks succeeded on; undefined for one attack."""
    one, other = results.attacks.get(original, {}), results.attacks.get(refined, {})
    if original == refined or column not in one or column not in other:
        return mean(0.0, 0.0, 0)
    shared = np.intersect1d(one["index"][one["attacked"]], other["index"][other["attacked"]])
    before, after = (rows[column][np.searchsorted(rows["index"], shared)] for rows in (one, other))
    ratios = after[before > 0] / before[before > 0]
    return mean(float(ratios.sum()), float((ratios**2).sum()), len(ratios), int((before <= 0).sum()))


def _attacks(summary: Mapping[str, Any]) -> list[_Attack]:
    """Return those of an evaluation's attacks that are the paper's, in the paper's order."""
    found = []
    configured = summary["settings"].get("model", {}).get("init_args", {}).get("attacks") or {}
    for name, settings in configured.items():
        region, inner = None, settings
        kind = _kind(settings)
        if kind == "Refined":
            inner = settings["init_args"]["attack"]
            region = {"SignificantCells": "S1", "SalientPixels": "S2"}.get(_kind(settings["init_args"]["region"]))
            if region is None:
                continue
            kind = _kind(inner)
        if kind in METHOD_OF:
            found.append(_Attack(name, METHOD_OF[kind], inner, region))
    return sorted(found, key=lambda attack: METHODS.index(attack.method))


def _kind(settings: Any) -> str:
    return str(settings.get("class_path", "")).rpartition(".")[2] if isinstance(settings, Mapping) else ""


def _origin(refined: _Attack, plain: Sequence[_Attack]) -> _Attack | None:
    """Return the attack that another one refines: the one with the same settings."""
    return next((attack for attack in plain if attack.settings == refined.settings), None)


def _shown(value: float) -> str:
    """Return a number with three digits after the point, small ones with three significant ones; nan as a dash."""
    if value != value:
        return "\N{EN DASH}"
    size = abs(value)
    decimals = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    if 0 < size < 0.1:
        decimals = 2 - math.floor(math.log10(size))
    return f"{value:.{decimals}f}"


def _numbers(figure: Estimate) -> list[Any]:
    return ["" if value != value else float(f"{value:.10g}") for value in figure[:3]]
