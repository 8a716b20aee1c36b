"""How the runs were trained: accuracy and loss by epoch, out of ``RUN/metrics.jsonl``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advscope.report.page.plot import Plot, layout, number, plot_text
from advscope.report.page.run_style import run_style
from advscope.report.run_results import RunResults

CURVES = {
    "clean": ("val/clean/accuracy", "clean accuracy, validation"),
    "robust": ("val/all/robust_accuracy", "robust accuracy, validation"),
    "loss": ("train/loss", "loss, training"),
}
"""For each plot its log key and what stands at its axis."""

Epoch = dict[str, Any]
"""One line of the file: ``epoch`` and every logged figure."""


def read_epochs(path: str | Path) -> list[Epoch]:
    """Read the figures of a training, by epoch.

    Args:
        path: A run's ``metrics.jsonl``.

    Returns:
        One mapping an epoch, in order; of an epoch that stands there twice (a training that was resumed) the last. No
        epochs where there is no such file: a network trained elsewhere has none.

    Raises:
        ValueError: If a line is damaged.
    """
    path = Path(path)
    if not path.is_file():
        return []
    epochs: dict[int, Epoch] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text ({error}); move the file away to compare without curves") from None
    for place, line in enumerate(lines, start=1):
        try:
            found = json.loads(line)
            epochs[int(found["epoch"])] = found
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{path}, line {place} is no epoch; delete the line, or wait for the training to end"
            ) from None
    return [epochs[epoch] for epoch in sorted(epochs)]


def training_plots(runs: Sequence[RunResults]) -> tuple[dict[str, Plot], list[str]]:
    """Return the training curves by the names of :data:`CURVES`, and the names of the runs that have none.

    Raises:
        ValueError: If a ``metrics.jsonl`` is damaged.
    """
    histories = [read_epochs(run.folder / "metrics.jsonl") for run in runs]
    plots: dict[str, Plot] = {}
    for name, (key, title) in CURVES.items():
        traces = []
        for position, (run, epochs) in enumerate(zip(runs, histories, strict=True)):
            # Lightning counts epochs from 0, readers from 1; an epoch without validation has no such figure.
            points = [(epoch["epoch"] + 1, epoch[key]) for epoch in epochs if isinstance(epoch.get(key), int | float)]
            look = run_style(position)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": plot_text(run.name),
                    "meta": {"run": position},
                    "x": [epoch for epoch, _ in points],
                    "y": [number(value) for _, value in points],
                    "hovertemplate": "%{fullData.name}<br>epoch %{x}: %{y}<extra></extra>",
                    "marker": {"color": look.colour, "symbol": look.symbol, "size": 7},
                    "cliponaxis": False,
                    "line": {"color": look.colour, "dash": look.dash, "width": 2},
                }
            )
        if any(trace["x"] for trace in traces):
            plots[name] = {"data": traces, "layout": layout(title, "epoch")}
            # Whole epochs only.
            plots[name]["layout"]["xaxis"] |= {"tickformat": "d", "rangemode": "tozero"}
            bounds: dict[str, Any] = {"range": [0, 1.03]} if name != "loss" else {"rangemode": "tozero"}
            plots[name]["layout"]["yaxis"] |= bounds
    without = [run.name for run, epochs in zip(runs, histories, strict=True) if not epochs]
    return plots, without
