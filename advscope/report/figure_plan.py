"""Which figures an evaluation's results allow, by name, each drawn only when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from advscope.intervals import Estimate
from advscope.report.accuracy_figure import accuracy_figure
from advscope.report.bias_figure import bias_curve, bias_figure
from advscope.report.cell_figure import cell_figure
from advscope.report.control_figure import control_figure
from advscope.report.correlation_figure import correlation_figure
from advscope.report.correlations_figure import correlations_figure
from advscope.report.example_figure import example_figure
from advscope.report.examples import Arrays, attacks_of, load_examples
from advscope.report.image_rows import read_columns
from advscope.report.map_figure import MAIN, explainers_of, map_figure
from advscope.report.quantile_figure import quantile_figure
from advscope.report.ratio_figure import ratio_figure
from advscope.report.refined_figure import refined_families, refined_figure, shared_examples
from advscope.report.refined_sizes_figure import refined_sizes_figure
from advscope.report.row_values import AttackedRows, Columns
from advscope.report.score_columns import score_columns
from advscope.report.score_figure import score_figure
from advscope.report.summary import read_summary
from advscope.report.targets_figure import common_picture, targeted_attacks, targets_figure
from advscope.report.unit_figures import detector_figure, sensitivity_figure
from advscope.report.unit_rows import Units, read_units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Plan = dict[str, "Callable[[], Figure]"]
"""Figures by name, not yet drawn."""


class Evidence(NamedTuple):
    """What the figures of one evaluation are drawn from."""

    name: str
    """Name of the run, for the titles."""
    figures: Mapping[str, Mapping[str, Any] | Estimate]
    """Figures by log key, as in a summary."""
    arrays: Arrays
    """Examples, as :func:`~advscope.report.examples.load_examples` returns them."""
    columns: Columns
    """Per-image rows, as :func:`~advscope.report.image_rows.read_columns` returns them; they know the layers' order."""
    class_names: Sequence[str] | None
    """Name of each class."""
    counts: Mapping[str, Mapping[str, int]]
    """For each attack its ``attacked`` images among others, for the titles."""
    units: Units | None
    """The per-unit table, where there is one."""
    settings: Mapping[str, Any]
    """The evaluation's settings, which name the explainer and its quantile."""


def read_evidence(folder: str | Path) -> Evidence:
    """Read the results of one evaluation, each file once.

    Args:
        folder: ``RUN/results/NAME``, with ``summary.json``, ``images.csv`` and ``arrays.npz``.

    Raises:
        FileNotFoundError: If one of them is missing.
        ValueError: If one of them is damaged.
    """
    folder = Path(folder)
    summary = read_summary(folder / "summary.json")
    return Evidence(
        summary["run"]["name"],
        summary["figures"],
        load_examples(folder / "arrays.npz"),
        read_columns(folder / "images.csv"),
        summary["data"].get("classes"),
        summary["counts"],
        read_units(folder / "units.csv") if (folder / "units.csv").exists() else None,
        summary["settings"],
    )


def figure_plan(evidence: Evidence, examples: int = 4) -> Plan:
    """Return every figure that an evaluation's results allow, to be drawn by calling it.

    Args:
        evidence: What the evaluation left behind.
        examples: Images in figures of examples, at most.

    Returns:
        ``accuracy``, ``bias``, ``units_sensitivity``, ``units_detectors``, ``is``, ``is_quantiles``, ``is_controls``,
        ``correlations``, ``refined``, ``targets``; for each attack with examples ``{attack}_examples``,
        ``{attack}_maps`` (a further explainer's: ``{attack}_maps_{explainer}``), ``{attack}_ratio``,
        ``{attack}_cells`` (those of the first example), ``{attack}_correlation``, and ``{attack}_refined``. Those whose
        monitor did not run, or found nothing, are left out.
    """
    plan = _summary_plan(evidence) | _unit_plan(evidence) | _row_plan(evidence)
    arrays = evidence.arrays
    attacks = [
        attack
        for attack in attacks_of(arrays)
        if len(arrays[f"{attack}/images"]) and arrays[f"{attack}/images"].shape[1] in (1, 3)
    ]
    families = targeted_attacks(attacks)
    if len(common_picture(arrays, [attack for forms in families.values() for attack in forms])) > 1:
        plan["targets"] = partial(targets_figure, arrays, evidence.class_names)
    for attack, forms in refined_families(attacks).items():
        if shared_examples(arrays, forms):
            plan[f"{attack}_refined"] = partial(refined_figure, arrays, attack, evidence.class_names, examples)
    for attack in attacks_of(arrays):
        if len(arrays[f"{attack}/images"]):
            plan |= _attack_plan(evidence, attack, attack in attacks, examples)
    return plan


def _summary_plan(evidence: Evidence) -> Plan:
    """Return the figures of the whole evaluation that its summary gives."""
    name, figures, plan = evidence.name, evidence.figures, Plan()
    if any(key.endswith(("/accuracy", "/robust_accuracy")) for key in figures):
        plan["accuracy"] = partial(accuracy_figure, {name: figures})
    attacks = dict.fromkeys(key.split("/")[1] for key in figures if "/bias/" in key)
    curves = {attack: bias_curve(figures, attack, evidence.columns) for attack in attacks}
    noise = {
        f"{attack}: noise of its size": bias_curve(figures, attack, evidence.columns, control="noise")
        for attack in attacks
    }
    curves |= {line: curve for line, curve in noise.items() if curve}
    if any(curves.values()):
        plan["bias"] = partial(bias_figure, curves, f"{name}: activation bias by layer")
    if refined_families(key.split("/")[1] for key in figures if key.endswith("/size/l2")):
        plan["refined"] = partial(refined_sizes_figure, figures, f"{name}: original and refined attacks")
    return plan


def _unit_plan(evidence: Evidence) -> Plan:
    """Return the figures of dissected units."""
    name, units = evidence.name, evidence.units
    if units is None:
        return {}
    attacked = [count["attacked"] for key, count in evidence.counts.items() if key.endswith("/dissection")]
    over = f" (n = {attacked[0]} attacked)" if attacked else ""
    title = f"{name}: sensitivity against interpretability of units{over}"
    return {
        "units_sensitivity": partial(sensitivity_figure, units, title),
        "units_detectors": partial(detector_figure, {name: units}, f"{name}: units that detect a concept, by category"),
    }


def _row_plan(evidence: Evidence) -> Plan:
    """Return the figures of the per-image rows."""
    name, columns, plan = evidence.name, evidence.columns, Plan()
    rows = AttackedRows(columns)
    scores = [
        column for column in score_columns(columns) if any(rows.has(attack, column.name) for attack in rows.attacks)
    ]
    explainer, percent = _explainer(evidence.settings)
    if any(not column.control and column.percent is None for column in scores):
        plan["is"] = partial(score_figure, columns, f"{name}: interpretability score", explainer)
    if any(not column.control and column.percent is not None for column in scores):
        plan["is_quantiles"] = partial(quantile_figure, columns, percent, f"{name}: IS against the quantile", explainer)
    if any(column.control and not column.explainer and column.percent is None for column in scores):
        plan["is_controls"] = partial(control_figure, columns, f"{name}: IS of attacks and of random perturbations")
    correlations = [column for column in columns if column.startswith(("psr/pearson_", "psr/kendall_"))]
    if any(column.endswith("_l2") for column in correlations) and rows.attacks:
        title = f"{name}: correlation of a cell's effect with its l2 norm, per image"
        plan["correlations"] = partial(correlations_figure, columns, title)
    return plan


def _attack_plan(evidence: Evidence, attack: str, pictures: bool, examples: int) -> Plan:
    """Return the figures of one attack's examples; without ``pictures``, those that show none."""
    arrays, names, plan = evidence.arrays, evidence.class_names, Plan()
    attacked = evidence.counts.get(attack, {}).get("attacked")
    if pictures:
        plan[f"{attack}_examples"] = partial(example_figure, arrays, attack, names, attacked, examples)
        for explainer in explainers_of(arrays, attack):
            which = "" if explainer == MAIN else f"_{explainer}"
            plan[f"{attack}_maps{which}"] = partial(map_figure, arrays, attack, explainer, names, attacked, examples)
    if f"{attack}/psr/ratio" in arrays:
        plan[f"{attack}_ratio"] = partial(ratio_figure, arrays, attack)
        plan[f"{attack}_cells"] = partial(cell_figure, arrays, attack, 0, names)
        plan[f"{attack}_correlation"] = partial(correlation_figure, arrays, attack, evidence.columns, names, examples)
    return plan


def _explainer(settings: Mapping[str, Any]) -> tuple[str, float]:
    """Return the name of the main explainer and its quantile in percent, out of a run's whole config."""
    for callback in (settings.get("trainer") or {}).get("callbacks") or ():
        if callback["class_path"].rsplit(".", 1)[-1] == "InterpretabilityMonitor":
            chosen = callback.get("init_args") or {}
            explainer = chosen.get("explainer")
            path = explainer.get("class_path") if isinstance(explainer, Mapping) else None
            # Without one the monitor takes the closed-form CAM.
            return (path.rsplit(".", 1)[-1] if path else "CAM"), round(100 * float(chosen.get("quantile", 0.7)), 6)
    return "main explainer", 70.0
