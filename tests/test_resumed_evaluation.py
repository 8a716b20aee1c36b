"""Evaluations that are stopped, killed, limited, and gone on with."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import evaluate
from advscope.report import read_columns, read_summary
from callbacks import EvaluationRecord

ROOT = Path(__file__).resolve().parent.parent
QUIET = ["--wandb=off", "--trainer.enable_progress_bar=false"]
SMALL = "--data.init_args.eval_batch_size=5"


@pytest.fixture
def run(tiny_run, tmp_path):
    """Return a copy of the tiny run, with a folder of results of its own."""
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny", ignore=shutil.ignore_patterns("results")))


@pytest.fixture(scope="session")
def whole(tiny_run, tmp_path_factory):
    """Return the results of an evaluation in small batches that nothing stopped."""
    run = tmp_path_factory.mktemp("whole") / "tiny"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    evaluate.main(["--run", str(run), *QUIET, SMALL])
    return run / "results" / "standard"


def assert_same_files(folder: Path, expected: Path):
    names = {path.relative_to(expected).as_posix() for path in expected.rglob("*") if path.is_file()}
    assert names == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "images.csv" in names
    assert "figures/accuracy.png" in names
    for name in names - {"timing.json"}:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name


def shards_in(results: Path) -> int:
    return len(list(results.rglob("shards/process_0_of_1/*.pt")))


@pytest.mark.slow
def test_an_evaluation_that_is_killed_five_times_ends_with_the_same_bytes(run, whole):
    results, chance = run / "results" / "standard", random.Random(0)
    command = [sys.executable, "evaluate.py", "--run", str(run), *QUIET, SMALL]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as many threads as here
    kills = []
    while len(kills) < 5:
        before = shards_in(results)
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if len(kills) == 0:  # the first one before anything is done, while it starts
            time.sleep(chance.uniform(0, 3))
        while len(kills) > 0 and shards_in(results) == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.15))
        assert process.poll() is None, "the evaluation ended before it was killed"
        process.kill()
        process.wait()
        kills.append(shards_in(results))
    assert kills[-1] > kills[1] > 0
    evaluate.main(["--run", str(run), *QUIET, SMALL])
    assert_same_files(results, whole)
    assert json.loads((results / "timing.json").read_text())["sessions"] >= 5


def test_an_evaluation_that_fails_goes_on_after_its_last_batch(run, whole, monkeypatch, capsys):
    measured, fails = [], [True]
    original = EvaluationRecord.on_test_batch_end

    def failing(self, trainer, pl_module, outputs, batch, batch_idx, *more):
        measured.append((batch_idx, len(batch.indices)))
        original(self, trainer, pl_module, outputs, batch, batch_idx, *more)
        if batch_idx == 6 and fails:
            fails.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(EvaluationRecord, "on_test_batch_end", failing)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        evaluate.main(["--run", str(run), *QUIET, SMALL])
    results = run / "results" / "standard"
    assert shards_in(results) == 7
    assert not (results / "summary.json").exists()
    measured.clear()
    evaluate.main(["--run", str(run), *QUIET, SMALL])
    assert "Going on after 7 of 10 batches" in capsys.readouterr().out
    assert measured == [(number, 0 if number < 7 else 5) for number in range(10)]
    assert_same_files(results, whole)
    assert shards_in(results) == 0


def test_one_that_is_killed_while_the_last_files_are_written_writes_them_again(run, whole, monkeypatch):
    original = EvaluationRecord.on_test_end

    def failing(self, trainer, pl_module):
        raise OSError("no space left on device")

    monkeypatch.setattr(EvaluationRecord, "on_test_end", failing)
    with pytest.raises(SystemExit, match="no space left"):
        evaluate.main(["--run", str(run), *QUIET, SMALL])
    assert shards_in(run / "results" / "standard") == 10
    monkeypatch.setattr(EvaluationRecord, "on_test_end", original)
    evaluate.main(["--run", str(run), *QUIET, SMALL])
    assert_same_files(run / "results" / "standard", whole)


def test_time_that_is_up_ends_cleanly_and_the_same_command_goes_on(run, whole, capsys):
    results = run / "results" / "standard"
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_minutes=1e-6"])
    summary = read_summary(results / "summary.json")
    assert (summary["data"]["n"], summary["data"]["of"]) == (5, 50)
    assert summary["data"]["complete"] is False
    assert summary["figures"]["test/clean/accuracy"]["n"] == 5
    assert len(read_columns(results / "images.csv")["index"]) == 5
    assert "5 of 50 images" in capsys.readouterr().out
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_minutes=1e-6"])
    assert read_summary(results / "summary.json")["data"]["n"] == 10
    evaluate.main(["--run", str(run), *QUIET, SMALL])
    assert_same_files(results, whole)


def test_time_that_is_up_after_the_last_image_stops_nothing(run, capsys):
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_images=5", "--max_minutes=1e-6"])
    data = read_summary(run / "results" / "standard" / "summary.json")["data"]
    assert (data["n"], data["of"]) == (5, 50)
    assert "complete" not in data
    assert "Time was up" not in capsys.readouterr().out
    assert not (run / "results" / "standard" / "shards").exists()


def test_time_that_is_up_is_told_with_the_images_that_were_asked_for(run, capsys):
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_images=8", "--max_minutes=1e-6"])
    assert "Time was up after 5 of 8 images" in capsys.readouterr().out


def test_another_number_of_threads_starts_over_and_says_so(run, capsys):
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_minutes=1e-6"])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_images=5"])
    finally:
        torch.set_num_threads(threads)
    assert "was begun with other device: starting over" in capsys.readouterr().out


def test_the_first_images_are_those_of_the_whole_evaluation(run, whole):
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_images=13"])
    summary = read_summary(run / "results" / "standard" / "summary.json")
    assert (summary["data"]["n"], summary["data"]["of"]) == (13, 50)
    few, all_of_them = (read_columns(folder / "images.csv") for folder in (run / "results" / "standard", whole))
    assert len(few["index"]) == 13
    there = [list(all_of_them["index"]).index(index) for index in few["index"]]
    for name, column in few.items():
        assert column.tolist() == pytest.approx(all_of_them[name][there].tolist(), nan_ok=True, abs=0), name


def test_fewer_images_after_a_stop_lose_no_work(run, capsys):
    results = run / "results" / "standard"
    for _ in range(3):
        evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_minutes=1e-6"])
    capsys.readouterr()
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_images=7"])
    said = capsys.readouterr().out
    assert "2 batches of another number of images are set aside" in said
    assert "Going on after 1 of 2 batches" in said
    assert len(list((results / "shards_set_aside").rglob("*.pt"))) == 2
    assert read_summary(results / "summary.json")["data"]["n"] == 7


def test_other_weights_start_over_and_say_so(run, whole, capsys):
    results = run / "results" / "standard"
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_minutes=1e-6"])
    weights = run / "checkpoints" / "last.ckpt"
    content = torch.load(weights, weights_only=True)
    content["state_dict"]["network.linear.bias"] += 1e-3
    torch.save(content, weights)
    capsys.readouterr()
    evaluate.main(["--run", str(run), *QUIET, SMALL, "--max_images=5"])
    said = capsys.readouterr().out
    assert "was begun with other weights: starting over" in said
    assert "Going on" not in said
    assert len(list((results / "shards_set_aside").rglob("*.pt"))) == 1


def test_images_of_one_class_are_aimed_at_others(run):
    names = read_summary_classes(run)
    evaluate.main(["--run", str(run), *QUIET, "--name=aimed", f"--source={names[1]}", "--target", names[0], "2"])
    columns = read_columns(run / "results" / "aimed" / "images.csv")
    assert set(columns["label"]) == {1}
    assert set(columns["attack"]) == {f"pgd20@{names[0]}", "pgd20@2"}
    assert set(columns["target"][columns["attack"] == "pgd20@2"]) == {2}
    assert set(columns["target"][columns["attack"] == f"pgd20@{names[0]}"]) == {0}
    summary = read_summary(run / "results" / "aimed" / "summary.json")
    assert summary["data"]["source"] == names[1]
    assert summary["settings"]["model"]["init_args"]["targeting"] == {f"pgd20@{names[0]}": 0, "pgd20@2": 2}


def test_images_of_the_target_class_are_left_alone(run):
    evaluate.main(["--run", str(run), *QUIET, "--name=aimed", "--target", "3"])
    columns = read_columns(run / "results" / "aimed" / "images.csv")
    there = columns["label"] == 3
    assert there.any()
    assert not columns["eligible"][there].any()
    assert (columns["adversarial_prediction"][there] == columns["prediction"][there]).all()


def read_summary_classes(run: Path) -> list[str]:
    from datamodules import ConceptShapes

    return list(ConceptShapes.class_names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source=hexagram"], "--source hexagram: no class has this name.*the nearest names are"),
        (["--target", "10"], r"--target 10: no class has this name, or number \(0 ... 9\)"),
        (["--source=1", "--target", "1"], "--target 1 is the class of --source: name another one"),
        (["--target", "1", "1"], "--target names a class twice: 1 1"),
    ],
)
def test_classes_that_do_not_exist_are_refused(run, arguments, message):
    with pytest.raises(SystemExit, match=message):
        evaluate.main(["--run", str(run), *QUIET, *arguments])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--max_images=0", "--max_images must be at least 1, got 0"),
        ("--max_minutes=0", "--max_minutes must be positive"),
    ],
)
def test_limits_that_leave_nothing_are_refused(run, argument, message, capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["--run", str(run), *QUIET, argument])
    assert message in capsys.readouterr().err


def test_the_bar_shows_images_and_passes(run, capfd):
    evaluate.main(["--run", str(run), "--wandb=off", "--trainer.enable_progress_bar=true", SMALL, "--max_minutes=1e-6"])
    capfd.readouterr()
    evaluate.main(["--run", str(run), "--wandb=off", "--trainer.enable_progress_bar=true", SMALL])
    shown = capfd.readouterr().err
    assert "50/50" in shown
    assert "0/50" not in shown.split("5/50")[0]
    assert "passes" in shown
