"""Clean and robust accuracy, run against run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from advscope.intervals import Estimate
from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, WIDTH, style, write_heading
from advscope.report.summary import estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_figure(
    runs: Mapping[str, Mapping[str, Mapping[str, Any] | Estimate]], title: str = "", stage: str = "test"
) -> "Figure":
    """Draw the clean accuracy, the robust accuracy under each attack, and that under all of them, with intervals.

    Args:
        runs: For each run's name its figures by log key, as in a summary.
        title: What stands before the number of images.
        stage: First part of the keys.

    Returns:
        A figure without a window: a line per attack, a mark per run; nothing where a figure is nan.

    Raises:
        ValueError: If no run has an accuracy.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    accuracies = {name: _accuracies(figures, stage) for name, figures in runs.items()}
    found = {attack for figures in accuracies.values() for attack in figures}
    if not found:
        raise ValueError(f"the figures hold no accuracy ({stage}/clean/accuracy); evaluate the run first")
    attacks = sorted(found, key=lambda attack: ({"clean": 0, "all": 2}.get(attack, 1), attack))
    counts = {figure.n for figures in accuracies.values() for figure in figures.values()}
    number = f"n = {min(counts)}" if len(counts) == 1 else f"n = {min(counts)} to {max(counts)}"
    with style():
        step = 0.3 * len(runs) + 0.3
        figure = Figure(figsize=(WIDTH, 1.3 + 0.22 * len(runs) + step * len(attacks)), layout="constrained")
        axis = figure.subplots()
        write_heading(figure, f"{title or 'Accuracy'} ({number}; bars: 95% intervals)")
        for position, (name, figures) in enumerate(accuracies.items()):
            _draw_run(axis, name, figures, attacks, ((position + 0.5) / len(runs) - 0.5) * 0.62, position)
        for row in range(len(attacks)):
            if row % 2 == 0:
                axis.axhspan(row - 0.5, row + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
        axis.set_yticks(range(len(attacks)), [{"all": "all attacks"}.get(attack, attack) for attack in attacks])
        # Room on both sides, so that marks at 0 and at 100% are whole, and their numbers have a place.
        axis.set(xlim=(-0.02, 1.14), ylim=(len(attacks) - 0.5, -0.5), xticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.set_xlabel("accuracy")
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
        figure.legend(loc="outside lower center", ncols=min(3, len(runs)))
    return figure


def _accuracies(figures: Mapping[str, Mapping[str, Any] | Estimate], stage: str) -> dict[str, Estimate]:
    """Return accuracies by attack, ``clean`` among them."""
    found = {}
    for key, fields in figures.items():
        first, _, rest = key.partition("/")
        attack, _, name = rest.partition("/")
        if first == stage and name == ("accuracy" if attack == "clean" else "robust_accuracy"):
            found[attack] = estimate(fields)
    return found


def _draw_run(
    axis: Any, name: str, figures: Mapping[str, Estimate], attacks: list[str], offset: float, position: int
) -> None:
    """Draw one run's marks, intervals and numbers."""
    colour = LINE_COLOURS[position % len(LINE_COLOURS)]
    rows = [row + offset for row, attack in enumerate(attacks) if attack in figures]
    shown = [figures[attack] for attack in attacks if attack in figures]
    axis.plot(
        [figure.value for figure in shown],
        rows,
        color=colour,
        marker=LINE_MARKERS[position % len(LINE_MARKERS)],
        linestyle="none",
        markersize=6,
        label=name,
    )
    axis.hlines(rows, [figure.low for figure in shown], [figure.high for figure in shown], color=colour, linewidth=1.8)
    for figure, row in zip(shown, rows, strict=True):
        if figure.value == figure.value:
            end = figure.value if figure.high != figure.high else figure.high
            axis.annotate(
                f"{figure.value:.1%}", (end, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8.5
            )
