"""Figures that show several runs together."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from advscope.report.accuracy_figure import accuracy_figure
from advscope.report.activation_figure import ActivationRun, activation_figure, activation_layers, shared_indices
from advscope.report.bias_figure import bias_curve, bias_figure
from advscope.report.evaluation_figures import chosen_figures, save_figures
from advscope.report.examples import attacks_of
from advscope.report.figure_plan import Evidence, Plan, layer_order, read_evidence
from advscope.report.figure_style import FORMATS
from advscope.report.masking_figure import masking_figure
from advscope.report.significance_figure import significance_figure
from advscope.report.unit_figures import detector_figure


def run_names(folders: Sequence[str | Path]) -> list[str]:
    """Return names that tell evaluations apart: their runs' folders, with the evaluation where a run comes twice.

    Args:
        folders: ``RUN/results/NAME`` each.

    Example:
        >>> run_names(["a/natural/results/standard", "a/madry/results/standard"])
        ['natural', 'madry']
        >>> run_names(["natural/results/standard", "natural/results/long"])
        ['natural/standard', 'natural/long']
    """
    paths = [Path(folder).resolve() for folder in folders]
    for parts in ((-3,), (-3, -1)):
        names = ["/".join(path.parts[part] for part in parts if len(path.parts) >= -part) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def run_plan(runs: Mapping[str, Evidence], examples: int = 1) -> Plan:
    """Return every figure that the results of several runs allow, to be drawn by calling it.

    Args:
        runs: For each run's name what its evaluation left behind.
        examples: Images in figures of activations, at most.

    Returns:
        ``accuracy``, ``bias``, ``units_detectors``, ``units_significance``, ``masking``, and for each attack whose
        layers' activations every run kept of a common image ``{attack}_activation_panels``. A run without what a figure
        needs is left out of it; a figure that no two runs allow is left out.
    """
    plan = Plan()
    figures = {name: found.figures for name, found in runs.items()}
    with_accuracy = {
        name: each
        for name, each in figures.items()
        if any(key.endswith(("/accuracy", "/robust_accuracy")) for key in each)
    }
    if len(with_accuracy) > 1:
        plan["accuracy"] = partial(accuracy_figure, with_accuracy)
    attacks = list(dict.fromkeys(key.split("/")[1] for each in figures.values() for key in each if "/bias/" in key))
    curves = {
        (name, attack): bias_curve(found.figures, attack, found.columns)
        for name, found in runs.items()
        for attack in attacks
    }
    curves = {which: curve for which, curve in curves.items() if curve}
    if len({name for name, _ in curves}) > 1:
        named = {name if len(attacks) == 1 else f"{name}, {attack}": curve for (name, attack), curve in curves.items()}
        under = f" under {attacks[0]}" if len(attacks) == 1 else ""
        plan["bias"] = partial(bias_figure, named, f"Activation bias by layer{under}")
    units = {name: found.unit.units for name, found in runs.items() if found.unit.units is not None}
    if len(units) > 1:
        plan["units_detectors"] = partial(detector_figure, units)
    tables = {name: found.unit.significance for name, found in runs.items() if found.unit.significance is not None}
    if len(tables) > 1 and any(len(table["layer"]) for table in tables.values()):
        plan["units_significance"] = partial(significance_figure, tables)
    masked = {name: found.unit.masking for name, found in runs.items() if found.unit.masking is not None}
    if len(masked) > 1 and any(len(table["layer"]) for table in masked.values()):
        plan["masking"] = partial(masking_figure, masked)
    return plan | _activation_plan(runs, examples)


def draw_run_figures(
    folders: Sequence[str | Path],
    output: str | Path,
    only: Sequence[str] = (),
    examples: int = 1,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Draw the figures that show several runs together, and return the files of the first format.

    Args:
        folders: ``RUN/results/NAME`` of each run, two or more.
        output: Folder to write into; it is made where it is missing.
        only: Names of the figures to draw, or patterns of names; all of them without.
        examples: Images in figures of activations, at most.
        formats: ``png``, ``svg`` or both.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, a folder comes twice, or ``only`` fits no figure that the results allow.
    """
    if examples < 1:
        raise ValueError(f"examples must be at least 1, got {examples}")
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise ValueError(f"an evaluation is given twice among {', '.join(map(str, folders))}; give each once")
    runs = {
        name: read_evidence(folder)._replace(name=name)
        for name, folder in zip(run_names(folders), folders, strict=True)
    }
    plan = chosen_figures(run_plan(runs, examples), only, ", ".join(map(str, folders)))
    written = [save_figures(output, {name: draw()}, formats) for name, draw in plan.items()]
    return [path for paths in written for path in paths]


def _activation_plan(runs: Mapping[str, Evidence], examples: int) -> Plan:
    """Return the figures of layers' activations."""
    plan = Plan()
    for attack in dict.fromkeys(name for found in runs.values() for name in attacks_of(found.arrays)):
        kept = {name: found for name, found in runs.items() if activation_layers(found.arrays, attack)}
        if len(kept) < 2 or not shared_indices([found.arrays for found in kept.values()], attack):
            continue
        parts = {name: ActivationRun(found.arrays, layer_order(found)) for name, found in kept.items()}
        names = next(iter(kept.values())).class_names
        plan[f"{attack}_activation_panels"] = partial(activation_figure, parts, attack, names, examples)
    return plan
