"""What one evaluation of one run found, read from its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from advscope.intervals import Estimate
from advscope.report.image_rows import FIXED, read_columns
from advscope.report.paired_differences import Rows
from advscope.report.summary import estimate, read_summary


class RunResults(NamedTuple):
    """One run's results, read."""

    folder: Path
    """Folder of the run."""
    name: str
    """Name of the run, with its folder where runs that are compared have the same."""
    summary: dict[str, Any]
    """As :func:`~advscope.report.summary.read_summary` returns it."""
    figures: dict[str, Estimate]
    """The figures by log key."""
    attacks: Rows
    """The per-image rows: by attack, then by column."""
    columns: list[str]
    """The measures' columns of the per-image rows, in the file's order."""

    @property
    def results(self) -> Path:
        """The folder of the evaluation."""
        return self.folder / "results" / str(self.summary["name"])


def read_results(folder: Path, evaluation: str) -> RunResults:
    """Read one run's results.

    Raises:
        FileNotFoundError: If the run has no such evaluation.
        ValueError: If one of its files is damaged.
    """
    results = folder / "results" / evaluation
    if not (results / "summary.json").is_file():
        named = "" if evaluation == "standard" else f" (with the overlay that is named {evaluation})"
        made = sorted(path.parent.name for path in folder.glob("results/*/summary.json"))
        others = f"; it has {', '.join(made)}" if made else ""
        raise FileNotFoundError(
            f"{results} holds no summary.json; make it with `python evaluate.py --run {folder}`{named}{others}"
        )
    summary = read_summary(results / "summary.json")
    columns = read_columns(results / "images.csv")
    attacks = {str(name): columns["attack"] == name for name in np.unique(columns["attack"])}
    return RunResults(
        folder=folder,
        name=summary["run"]["name"],
        # The folder's name is the evaluation's: whoever renames the folder renames it.
        summary=summary | {"name": evaluation},
        figures={key: estimate(fields) for key, fields in summary["figures"].items()},
        attacks={name: {key: column[here] for key, column in columns.items()} for name, here in attacks.items()},
        columns=[name for name in columns if name not in FIXED],
    )


def read_all(folders: Sequence[str | Path], evaluation: str) -> list[RunResults]:
    """Read the results of runs that are to be compared, under names that tell them apart.

    Raises:
        FileNotFoundError: If a run has no such evaluation.
        ValueError: If no run is given, or one twice, or a file is damaged.
    """
    paths = [Path(folder) for folder in folders]
    if not paths:
        raise ValueError("compare needs at least one run; give the folders of trainings")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f"a run is given twice among {', '.join(map(str, paths))}; give each once")
    runs = [read_results(path, evaluation) for path in paths]
    names = [run.name for run in runs]
    return [run if names.count(run.name) == 1 else run._replace(name=f"{run.name} ({run.folder})") for run in runs]
