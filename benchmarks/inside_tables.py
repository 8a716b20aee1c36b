"""What an evaluation found inside a network, as the tables of docs/results.md.

    python -m benchmarks.inside_tables RUN/results/NAME [RUN/results/NAME ...] [--layers layer3.2 ...]

One question: what are the units and layers of these networks like, and what does an attack do to them? Prints, for each
folder, the tables that its results allow: dissected units and detectors beside those by chance; whether sensitive units
are interpretable; activation bias by layer beside that of noise; accuracy against masked units. 95% intervals in
brackets. Reads summary.json, significance.csv and images.csv, runs no network.
"""

import argparse
import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from advscope.intervals import Estimate, mean
from advscope.measures import MaskingPoint
from advscope.report import read_summary
from advscope.tables import read_significances

Figures = Mapping[str, Mapping[str, Estimate]]
"""Of each layer its figures by name, as :attr:`advscope.measures.DissectedLayer.figures`."""

CATEGORIES = ("object", "part", "material", "texture", "color", "scene")
TOPS = (10, 20, 30, 50, 80, 100)
_NONE = Estimate(0, math.nan, math.nan, 0)
QUANTITIES = ("clean_accuracy", "robust_accuracy", "clean_difference", "robust_difference")
"""Of a masked network, in the order of :class:`~advscope.measures.MaskingPoint`."""


def markdown(title: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [title, ["---"] * len(title), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def written(figure: Estimate, places: int, signed: bool = False) -> str:
    """Return a figure with its interval, or without, where it has none; a dash where it is undefined."""
    if math.isnan(figure.value):
        return "–"
    value, low, high = (f"{part:{'+' if signed else ''}.{places}f}" for part in figure[:3])
    return value if math.isnan(figure.low) else f"{value} [{low}, {high}]"


def choices(figures: Figures) -> list[tuple[str, str, Mapping[str, Estimate]]]:
    """Return layers and the suffix of their figures: all units and, where there are others, the regular ones alone."""
    found = []
    for layer, quantities in figures.items():
        irregular = quantities["units_zero"].value + quantities["units_maximum"].value
        found += [(layer, suffix, quantities) for suffix in ("", "_regular") if irregular or not suffix]
    return found


def unit_tables(figures: Figures) -> str:
    """Return the tables of detectors, and of interpretability and sensitivity, of dissected layers."""
    shown = [
        category
        for category in CATEGORIES
        if any(
            each.get(f"detectors_{category}{end}", _NONE).value for each in figures.values() for end in ("", "_chance")
        )
    ]
    detectors, scores = [], []
    for layer, suffix, each in choices(figures):
        units, zero, maximum = (int(each[name].value) for name in ("units", "units_zero", "units_maximum"))
        name = layer + suffix.replace("_", ", ")
        row = [name, str(units - zero - maximum) if suffix else f"{units} / {zero} / {maximum}"]
        for kind in ("", *(f"_{category}" for category in shown)):
            row.append("; ".join(written(each[f"detectors{kind}{end}{suffix}"], 0) for end in ("", "_chance")))
        detectors.append(row)
        scores.append([
            name,
            *(written(each[f"interpretability{end}{suffix}"], 4) for end in ("", "_adversarial", "_chance")),
            written(each[f"sensitivity{suffix}"], 1),
            written(each[f"rank_correlation{suffix}"], 2),
        ])  # fmt: skip
    attacked = next(iter(figures.values()))["sensitivity"].n
    first = ["layer", "units / T = 0 / T = maximum", "detectors; by chance", *(f"{each}; by chance" for each in shown)]
    second = ["layer", "mean IoU(k)", "adversarial", "by chance", f"v, √pixels (n = {attacked})", "rank correlation"]
    return markdown(first, detectors) + "\n" + markdown(second, scores)


def significance_table(figures: Figures) -> str:
    """Return p of the N most sensitive units of each layer, in parentheses corrected, plain and matched for area."""
    tops = [top for top in TOPS if any(f"p_top{top}" in each for each in figures.values())]
    rows = []
    for layer, suffix, each in choices(figures):
        for name, kind in (("", ""), (", matched", "_matched")):
            row = [layer + suffix.replace("_", ", ") + name]
            for top in tops:
                p, corrected = (each.get(f"p_top{top}{kind}{end}{suffix}") for end in ("", "_corrected"))
                row.append("–" if p is None or corrected is None else f"{p.value:.4f} ({corrected.value:.4f})")
            rows.append(row)
    return markdown(["p (Holm)", *(f"N = {top}" for top in tops)], rows)


def bias_table(columns: Mapping[str, Sequence[float]], layers: Sequence[str]) -> str:
    """Return the bias of each layer beside that of noise, and how many times as large, image by image.

    Args:
        columns: ``LAYER/raw``, ``LAYER/relative`` and both with ``_noise`` of each attacked image.
        layers: Which to show.
    """
    rows = []
    for layer in layers:
        raw, noise = columns[f"{layer}/raw"], columns[f"{layer}/raw_noise"]
        logs = [
            math.log(ours / theirs) if ours > 0 and theirs > 0 else math.nan
            for ours, theirs in zip(raw, noise, strict=True)
        ]
        ratio = _mean(logs)
        times = Estimate(*(math.exp(part) for part in ratio[:3]), ratio.n, ratio.undefined)
        rows.append([
            layer,
            *(written(_mean(columns[f"{layer}/{kind}"]), 3) for kind in ("raw", "relative", "relative_noise")),
            written(times, 2),
        ])  # fmt: skip
    n = len(next(iter(columns.values())))
    return markdown([f"layer (n = {n})", "raw", "relative", "relative, noise", "attack / noise, geometric mean"], rows)


def masking_table(curve: Mapping[str, Mapping[int, MaskingPoint]]) -> str:
    """Return accuracy in percent, and what masking changes, in points, by order and number of masked units."""
    rows = []
    for order, points in curve.items():
        for number, point in points.items():
            scaled = [Estimate(*(100 * part for part in figure[:3]), figure.n) for figure in point]
            changes = [written(figure, 1, signed=True) if number else "–" for figure in scaled[2:]]
            name = order if number else "none"
            rows.append([name, str(number), *(written(figure, 1) for figure in scaled[:2]), *changes])
    rows = [row for place, row in enumerate(rows) if row not in rows[:place]]
    n = next(iter(next(iter(curve.values())).values())).clean.n
    return markdown([f"order (n = {n})", "masked", "clean, %", "robust, %", "change, clean", "change, robust"], rows)


def _mean(values: Sequence[float]) -> Estimate:
    known = [value for value in values if not math.isnan(value)]
    return mean(sum(known), sum(value**2 for value in known), len(known), len(values) - len(known))


def attacked_columns(path: Path, measure: str) -> dict[str, dict[str, list[float]]]:
    """Return of each attack the columns of a measure over the images that it succeeded on, by name without measure."""
    found: dict[str, dict[str, list[float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            columns = found.setdefault(row["attack"], {})
            for name in (name for name in row if name.startswith(f"{measure}/")):
                if row["attacked"] == "1":
                    columns.setdefault(name.removeprefix(f"{measure}/"), []).append(float(row[name] or "nan"))
    return found


def folder_tables(folder: Path, layers: Sequence[str] | None = None) -> str:
    """Return the tables that an evaluation's results allow.

    Raises:
        FileNotFoundError: If there is no evaluation.
        ValueError: If ``layers`` names one that it does not have.
    """
    dissected: dict[str, dict[str, Estimate]] = {}
    curves: dict[str, dict[str, dict[int, dict[str, Estimate]]]] = {}
    for key, fields in read_summary(folder / "summary.json")["figures"].items():
        match key.split("/"):
            case ["test", _, "dissection", layer, quantity]:
                dissected.setdefault(layer, {})[quantity] = Estimate(**fields)
            case ["test", _, "masking", layer, order, number, quantity]:
                points = curves.setdefault(layer, {}).setdefault(order, {})
                points.setdefault(int(number), {})[quantity] = Estimate(**fields)
    if dissected:
        # The summary's keys are sorted; the table of p has the layers from input to output.
        layers_in_order = dict.fromkeys(read_significances(folder / "significance.csv")["layer"].tolist())
        dissected = {name: dissected[name] for name in layers_in_order}
    biases = attacked_columns(folder / "images.csv", "bias")
    columns_of_any = dict.fromkeys(name for columns in biases.values() for name in columns)
    biased = [name.removesuffix("/raw") for name in columns_of_any if name.endswith("/raw")]
    known = list(dict.fromkeys([*dissected, *biased, *curves]))
    unknown = set(layers or ()) - set(known)
    if unknown:
        raise ValueError(f"{folder}: no layer {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    parts = []
    chosen = {name: figures for name, figures in dissected.items() if not layers or name in layers}
    if chosen:
        parts += [unit_tables(chosen), significance_table(chosen)]
    for attack, columns in biases.items():
        if any(name.endswith("/raw_noise") for name in columns):
            parts.append(
                f"{attack}:\n\n{bias_table(columns, [name for name in biased if not layers or name in layers])}"
            )
    for layer, curve in curves.items():
        if layers and layer not in layers:
            continue
        points = {
            order: {
                number: MaskingPoint(*(each[name] for name in QUANTITIES)) for number, each in sorted(numbers.items())
            }
            for order, numbers in curve.items()
        }
        parts.append(f"{layer}:\n\n{masking_table(points)}")
    return "\n".join(parts) or "nothing was dissected, masked or measured layer by layer here\n"


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders of evaluations, RUN/results/NAME")
    parser.add_argument("--layers", nargs="+", help="which layers to show (default: all)")
    settings = parser.parse_args(arguments)
    for folder in settings.results:
        try:
            print(f"## {folder}\n\n{folder_tables(folder, settings.layers)}")
        except (FileNotFoundError, ValueError) as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
