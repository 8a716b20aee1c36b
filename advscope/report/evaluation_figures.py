"""All figures of one evaluation, written beside its results."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advscope.intervals import Estimate
from advscope.report.accuracy_figure import accuracy_figure
from advscope.report.bias_figure import bias_curve, bias_figure
from advscope.report.cell_figure import cell_figure
from advscope.report.example_figure import example_figure
from advscope.report.examples import Arrays, attacks_of, load_examples
from advscope.report.figure_style import save_figure
from advscope.report.image_rows import read_header
from advscope.report.ratio_figure import ratio_figure
from advscope.report.summary import read_summary
from advscope.report.unit_figures import detector_figure, sensitivity_figure
from advscope.report.unit_rows import Units, read_units

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def evaluation_figures(
    name: str,
    figures: Mapping[str, Mapping[str, Any] | Estimate],
    arrays: Arrays,
    columns: Iterable[str] = (),
    class_names: Sequence[str] | None = None,
    counts: Mapping[str, Mapping[str, int]] | None = None,
    units: Units | None = None,
) -> dict[str, "Figure"]:
    """Return every figure that an evaluation's results allow.

    Args:
        name: Name of the run, for the titles.
        figures: Figures by log key, as in a summary.
        arrays: Examples, as :func:`~advscope.report.examples.load_examples` returns them.
        columns: Columns of the per-image rows, which know the order of the layers.
        class_names: Name of each class.
        counts: For each attack its ``attacked`` images among others, for the titles.
        units: The per-unit table, where there is one.

    Returns:
        Figures by name: ``accuracy``, ``bias``, ``units_sensitivity``, ``units_detectors``, and for each attack with
        examples ``{attack}_examples``, ``{attack}_ratio`` and ``{attack}_cells`` (those of the first example); without
        those whose monitor did not run.
    """
    drawn: dict[str, Figure] = {}
    if any(key.endswith(("/accuracy", "/robust_accuracy")) for key in figures):
        drawn["accuracy"] = accuracy_figure({name: figures})
    attacks = dict.fromkeys(key.split("/")[1] for key in figures if "/bias/" in key)
    order = list(columns)
    curves = {attack: bias_curve(figures, attack, order) for attack in attacks}
    if any(curves.values()):
        drawn["bias"] = bias_figure(curves, f"{name}: activation bias by layer")
    if units is not None:
        attacked = [count["attacked"] for key, count in (counts or {}).items() if key.endswith("/dissection")]
        over = f" (n = {attacked[0]} attacked)" if attacked else ""
        title = f"{name}: sensitivity against interpretability of units{over}"
        drawn["units_sensitivity"] = sensitivity_figure(units, title)
        drawn["units_detectors"] = detector_figure({name: units}, f"{name}: units that detect a concept, by category")
    for attack in attacks_of(arrays):
        if not len(arrays[f"{attack}/images"]):
            continue
        successes = (counts or {}).get(attack, {}).get("attacked")
        if arrays[f"{attack}/images"].shape[1] in (1, 3):
            drawn[f"{attack}_examples"] = example_figure(arrays, attack, class_names, successes)
        if f"{attack}/psr/ratio" in arrays:
            drawn[f"{attack}_ratio"] = ratio_figure(arrays, attack)
            drawn[f"{attack}_cells"] = cell_figure(arrays, attack, 0, class_names)
    return drawn


def draw_figures(folder: str | Path) -> list[Path]:
    """Draw every figure that the results in a folder allow, into ``folder/figures/``, and return the files.

    Args:
        folder: ``RUN/results/NAME``, with ``summary.json``, ``images.csv`` and ``arrays.npz``.

    Raises:
        FileNotFoundError: If one of them is missing.
        ValueError: If one of them is damaged.
    """
    folder = Path(folder)
    summary = read_summary(folder / "summary.json")
    figures = evaluation_figures(
        summary["run"]["name"],
        summary["figures"],
        load_examples(folder / "arrays.npz"),
        read_header(folder / "images.csv"),
        summary["data"].get("classes"),
        summary["counts"],
        read_units(folder / "units.csv") if (folder / "units.csv").exists() else None,
    )
    return save_figures(folder / "figures", figures)


def save_figures(folder: str | Path, figures: Mapping[str, "Figure"]) -> list[Path]:
    """Write figures as ``folder/NAME.png`` and return the files."""
    paths = [Path(folder) / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_figure(figure, path)
    return paths
