"""Tests of the training curves."""

import json
from pathlib import Path

import pytest

from advscope.report.page.training_curves import read_epochs, training_plots
from advscope.report.run_results import read_all


def write(folder: Path, *epochs: dict[str, object]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))


def test_the_last_of_two_lines_of_an_epoch_counts(tmp_path: Path) -> None:
    write(tmp_path, {"epoch": 1, "train/loss": 3}, {"epoch": 0, "train/loss": 2}, {"epoch": 1, "train/loss": 1})

    assert [epoch["train/loss"] for epoch in read_epochs(tmp_path / "metrics.jsonl")] == [2, 1]


def test_a_run_without_training_has_no_curves(tmp_path: Path) -> None:
    assert read_epochs(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("line", ['{"epoch": 1, "train/lo', "[1]", "{}", "1"])
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2 is no epoch; delete the line"):
        read_epochs(tmp_path / "metrics.jsonl")


def test_plots_hold_what_was_logged(runs: tuple[Path, Path]) -> None:
    # An epoch without validation, and one whose accuracy was not finite (null).
    write(
        runs[1],
        {"epoch": 0, "train/loss": 2.0},
        {"epoch": 1, "train/loss": 1.0, "val/clean/accuracy": 0.5, "val/all/robust_accuracy": None},
    )

    plots, without = training_plots(read_all(runs, "standard"))

    assert without == ["demo-natural"]
    assert set(plots) == {"clean", "loss"}
    assert [(trace["x"], trace["y"]) for trace in plots["loss"]["data"]] == [([], []), ([1, 2], [2.0, 1.0])]
    assert plots["clean"]["data"][1]["x"] == [2]
    assert [trace["meta"]["run"] for trace in plots["clean"]["data"]] == [0, 1]
