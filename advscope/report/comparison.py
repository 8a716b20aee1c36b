"""Runs against each other: each run's own figures, and paired differences over common images."""

import re
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from advscope.intervals import Estimate
from advscope.report.paired_differences import accuracy_differences, measure_differences
from advscope.report.run_results import RunResults, read_all
from advscope.report.score_columns import chance_behind_score

STAGE = "test"
_WITHOUT_EFFECT = ("chunk_size", "every_n_epochs", "examples")
_MEASURES = ("size", "psr", "is", "bias", "dissection", "masking", "cost")
_MAIN = re.compile(
    r"(accuracy|size/(success_rate|l0|l1|l2|linf)|psr/(?!operations)[a-z]+_share|is/(score|chance|excess)(?!\w*_at_)\w*"
    r"|bias/.+/relative|dissection/.+/(detectors|sensitivity))$"
)


class Line(NamedTuple):
    """One figure in every run."""

    key: str
    """Its log key, ``test/pgd20/psr/suppression_share``."""
    main: bool
    """Whether it belongs to the short table."""
    figures: tuple[Estimate | None, ...]
    """Each run's own figure; None where the run has none."""
    differences: tuple[Estimate | None, ...]
    """Each further run minus the first, over common images; None where no per-image rows hold the figure."""


class Comparison(NamedTuple):
    """What :func:`compare` returns."""

    evaluation: str
    """Name of the evaluation, the same in every run."""
    data: str
    """What it was taken on, in words."""
    runs: tuple[str, ...]
    """Names of the runs; differences are to the first."""
    lines: tuple[Line, ...]
    """The figures: accuracies, then perturbation sizes, PSR, IS and bias, layers in the network's order."""
    notes: tuple[str, ...]
    """What a reader must know: attacks that not every run has, attacks and monitors that differ in their settings,
    and how many concept images were attacked."""


def compare(runs: Sequence[str | Path], evaluation: str = "standard") -> Comparison:
    """Compare runs by one evaluation of each.

    A difference is taken image by image, ``d_i = run_i - first_i``, and given as ``mean(d) +- 1.96 s(d) / sqrt(n)``.
    For accuracies it is over all images that were evaluated in every run (``d_i`` the difference of correctness; an
    image counts as correct under all attacks together if it withstands each one); for measures over the images that
    were attacked successfully in every run that ran the attack, and for which both values are defined.

    Args:
        runs: Folders of trainings, the one that the others are compared with first.
        evaluation: Name of the folder under ``results/`` of each.

    Returns:
        The figures with their 95% intervals, in a fixed order.

    Raises:
        FileNotFoundError: If a run has no such results.
        ValueError: If fewer than one run is given, or one twice, or the runs were evaluated on different data or have
            no image in common.
    """
    return compare_results(read_all(runs, evaluation))


def compare_results(read: Sequence[RunResults]) -> Comparison:
    """Compare runs whose results are read already; as :func:`compare` otherwise."""
    _refuse_other_data(read)
    names = tuple(run.name for run in read)
    attacks = sorted({name for run in read for name in run.attacks})
    order = chance_behind_score(dict.fromkeys(name for run in read for name in run.columns))
    keys = {key for run in read for key in run.figures}
    differences: dict[str, tuple[Estimate | None, ...]] = accuracy_differences([run.attacks for run in read], STAGE)
    for attack in attacks:
        differences |= measure_differences([run.attacks for run in read], attack, STAGE)
    lines = [
        Line(
            key=key,
            main=is_main(key),
            figures=tuple(run.figures.get(key) for run in read),
            differences=differences.get(key, (None,) * (len(read) - 1)),
        )
        for key in sorted(keys | differences.keys(), key=lambda key: _place(key, order))
    ]
    data = read[0].summary["data"]
    described = f"{data['name']} {data['split']}, n = {data['n']}"
    return Comparison(read[0].summary["name"], described, names, tuple(lines), _notes(read, names, attacks))


def is_main(key: str) -> bool:
    """Return whether a figure, or a column of the per-image rows, belongs to the short table."""
    # A masked network's accuracies are of another network, and many.
    return _MAIN.search(key) is not None and "/masking/" not in key


def _refuse_other_data(runs: Sequence[RunResults]) -> None:
    """Refuse runs whose images are not the same."""
    folders = [run.folder for run in runs]
    for run, folder in zip(runs[1:], folders[1:], strict=True):
        one, other = (
            f"{data['name']} {data['split']} (checksum {data['sha256'][:12]})"
            for data in (runs[0].summary["data"], run.summary["data"])
        )
        if runs[0].summary["data"]["sha256"] != run.summary["data"]["sha256"]:
            raise ValueError(
                f"{folders[0]} was evaluated on {one}, {folder} on {other}: paired differences would mean nothing;"
                " evaluate both on the same data"
            )
    indices = [
        np.unique(np.concatenate([rows["index"] for rows in run.attacks.values()] or [np.array([])])) for run in runs
    ]
    if all(len(found) for found in indices) and not len(reduce(np.intersect1d, indices)):
        raise ValueError(
            f"{', '.join(map(str, folders))} have no image in common in images.csv; evaluate them on the same images"
        )


def _place(key: str, columns: list[str]) -> tuple[Any, ...]:
    """Return what figures are sorted by: accuracies first, then measure by measure, each attack's in column order."""
    _, attack, name = (*key.split("/", 2), "", "")[:3]
    if name in ("accuracy", "robust_accuracy"):
        return (0, {"clean": 0, "all": 2}.get(attack, 1), attack, 0, [])
    measure = name.split("/")[0]
    rank = _MEASURES.index(measure) if measure in _MEASURES else len(_MEASURES)
    # Numbers in names count as numbers, so that layer2 stands before layer10.
    natural = [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
    return (1, rank, attack, columns.index(name) if name in columns else len(columns), natural)


def _notes(runs: Sequence[RunResults], names: tuple[str, ...], attacks: list[str]) -> tuple[str, ...]:
    """Say what makes figures less comparable than they look."""
    notes = []
    for attack in attacks:
        without = [name for run, name in zip(runs, names, strict=True) if attack not in run.attacks]
        if without:
            notes.append(f"{attack} was not run on {', '.join(without)}")
            continue
        settings = [_attack_settings(run.summary["settings"], attack) for run in runs]
        if any(found != settings[0] for found in settings):
            notes.append(f"{attack} has other settings in some runs: its figures differ for that reason too")
        shared = reduce(np.intersect1d, [run.attacks[attack]["index"][run.attacks[attack]["attacked"]] for run in runs])
        if len(runs) > 1:
            notes.append(f"{attack}: {len(shared)} images are attacked in every run")
    notes += _monitor_notes(runs, names)
    images = [{index for rows in run.attacks.values() for index in rows["index"].tolist()} for run in runs]
    if any(found != images[0] for found in images):
        seen = ", ".join(f"{name} n = {run.summary['data']['n']}" for run, name in zip(runs, names, strict=True))
        notes.append(f"the runs were evaluated on different images ({seen}): only the differences are over common ones")
    if any(run.attacks.keys() != runs[0].attacks.keys() for run in runs):
        notes.append(
            "the runs had different attacks, so all/robust_accuracy means different things: no difference given"
        )
    return tuple(notes)


def _monitor_notes(runs: Sequence[RunResults], names: tuple[str, ...]) -> list[str]:
    """Say which monitors were not set alike, and how many concept images a dissection's sensitivity is over."""
    settings = [_monitor_settings(run.summary["settings"]) for run in runs]
    everywhere = [monitor for monitor in settings[0] if all(monitor in found for found in settings)]
    notes = [
        f"{monitor} has other settings in some runs: its figures may differ for that reason too"
        for monitor in everywhere
        if any(found[monitor] != settings[0][monitor] for found in settings)
    ]
    for key in dict.fromkeys(key for run in runs for key in run.summary["counts"] if key.endswith("/dissection")):
        found = [(name, run.summary["counts"].get(key)) for run, name in zip(runs, names, strict=True)]
        attacked = [f"{name} {count['attacked']} of {sum(count.values())}" for name, count in found if count]
        notes.append(f"{key}: concept images that are attacked: {', '.join(attacked)}")
    return notes


def _monitor_settings(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of each monitor in a run's whole config, without those that change no figure."""
    found: dict[str, dict[str, Any]] = {}
    for callback in (settings.get("trainer") or {}).get("callbacks") or ():
        chosen = callback.get("init_args") or {}
        name = callback["class_path"].rsplit(".", 1)[-1]
        found[name] = {key: value for key, value in chosen.items() if key not in _WITHOUT_EFFECT}
    return found


def _attack_settings(settings: dict[str, Any], attack: str) -> Any:
    """Return an attack's settings out of a run's whole config, None where they do not stand there."""
    found: Any = settings
    for key in ("model", "init_args", "attacks", attack):
        found = found.get(key) if isinstance(found, dict) else None
    return found
