"""Trainings by ``train.py``: what they leave behind, resuming, and errors before time is lost."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning import Callback

import train
from cli import TrainCLI, laid_over, with_fractions
from cli.configs import words_with_fractions

ROOT = Path(__file__).resolve().parent.parent
MADRY = str(ROOT / "configs" / "concept_shapes_madry_demo.yaml")
NATURAL = str(ROOT / "configs" / "concept_shapes_natural_demo.yaml")


def state_of(run):
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {
        **checkpoint["state_dict"],
        **{
            f"momentum {place}": state["momentum_buffer"]
            for place, state in checkpoint["optimizer_states"][0]["state"].items()
        },
        "random": checkpoint["random_state"],
        "steps": torch.tensor(checkpoint["global_step"]),
    }


def assert_bit_identical(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_a_training_leaves_config_record_metrics_and_checkpoints(tiny_run):
    assert {path.name for path in (tiny_run / "checkpoints").iterdir()} == {
        "last.ckpt",
        "best_clean.ckpt",
        "best_robust.ckpt",
    }
    record = json.loads((tiny_run / "run.json").read_text())
    assert (record["objective"], record["network"], record["data"]) == (
        "MadryClassifier",
        "CIFARResNet",
        "ConceptShapes",
    )
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert all("val/all/robust_accuracy" in line and "train/loss" in line for line in lines)
    assert "run" not in yaml.safe_load((tiny_run / "config.yaml").read_text())


def test_checkpoints_load_with_weights_only(tiny_run):
    for path in (tiny_run / "checkpoints").iterdir():
        assert torch.load(path, weights_only=True)["state_dict"]


class PowerCutError(Exception):
    """The machine went away."""


class PowerCut(Callback):
    """Ends a training as its second epoch begins."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise PowerCutError


@pytest.mark.parametrize("config", [MADRY, NATURAL])
def test_resuming_is_bit_identical_to_not_having_stopped(config, tiny_arguments, tmp_path):
    arguments = ["--config", config, *tiny_arguments, "--trainer.max_epochs=2"]
    train.main([*arguments, "--run", str(tmp_path / "whole")])
    stopped = TrainCLI([*arguments, "--run", str(tmp_path / "stopped")])
    stopped.trainer.callbacks.append(PowerCut())
    with pytest.raises(PowerCutError):
        stopped.fit()
    torch.rand(7)  # another process, another random state
    train.main([*arguments, "--run", str(tmp_path / "stopped"), "--resume=true"])
    assert_bit_identical(state_of(tmp_path / "whole"), state_of(tmp_path / "stopped"))
    for best in ("best_clean", "best_robust"):
        scores = [best_score(tmp_path / run, best) for run in ("whole", "stopped")]
        assert scores[0] == scores[1]


def best_score(run, name):
    """Return the score that a run remembers as its best: what last.ckpt knows of the checkpoints beside it."""
    states = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    (state,) = (state for state in states.values() if Path(state.get("best_model_path", "")).stem == name)
    return float(state["best_model_score"])


def test_the_best_checkpoints_are_those_of_the_best_epochs(tiny_arguments, tmp_path):
    run = tmp_path / "run"
    train.main(["--config", MADRY, "--run", str(run), *tiny_arguments, "--trainer.max_epochs=3"])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for name, key in (("best_clean", "val/clean/accuracy"), ("best_robust", "val/all/robust_accuracy")):
        values = [line[key] for line in lines]
        epoch = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        assert epoch == values.index(max(values))
        assert best_score(run, name) == pytest.approx(max(values))


def test_a_run_that_exists_is_not_overwritten(tiny_run, tiny_arguments):
    with pytest.raises(SystemExit, match=r"holds a training already: --resume it, or name another folder by --run"):
        train.main(["--config", MADRY, "--run", str(tiny_run), *tiny_arguments])


def test_resuming_needs_a_checkpoint(tmp_path, tiny_arguments):
    with pytest.raises(SystemExit, match=r"has no checkpoints/last.ckpt; leave --resume out"):
        train.main(["--config", MADRY, "--run", str(tmp_path / "none"), *tiny_arguments, "--resume=true"])


def test_a_typo_in_a_setting_is_refused_by_name(tmp_path, tiny_arguments, capsys):
    with pytest.raises(SystemExit):
        train.main(["--config", MADRY, "--run", str(tmp_path), *tiny_arguments, "--model.init_args.attack.stepz=3"])
    assert "stepz" in capsys.readouterr().err


def test_an_abbreviated_setting_is_refused_by_name(tmp_path, tiny_arguments, capsys):
    with pytest.raises(SystemExit):
        train.main(["--config", MADRY, "--run", str(tmp_path), *tiny_arguments, "--trainer.max_epoch=3"])
    assert "unrecognized arguments: --trainer.max_epoch=3" in capsys.readouterr().err


def test_the_help_names_the_datamodules(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    assert "datamodules.ConceptShapes" in capsys.readouterr().out


@pytest.mark.parametrize("config", [MADRY, NATURAL])
def test_fast_dev_run_writes_nothing(config, tmp_path, tiny_arguments):
    train.main(["--config", config, "--run", str(tmp_path / "run"), *tiny_arguments, "--trainer.fast_dev_run=true"])
    assert not (tmp_path / "run").exists()


def test_fractions_are_numbers_wherever_they_stand():
    assert words_with_fractions(["--a.eps=8/255", "--name", "x=y/z"]) == [f"--a.eps={8 / 255}", "--name", "x=y/z"]
    assert with_fractions({"eps": "8/255", "steps": 7, "list": ["1 / 4"], "name": "a/b"}) == {
        "eps": 8 / 255,
        "steps": 7,
        "list": [0.25],
        "name": "a/b",
    }
    assert with_fractions(["8/0", "1.2.3/4", "./."]) == ["8/0", "1.2.3/4", "./."]


def test_a_training_that_stays_at_chance_ends_in_one_line(tmp_path, tiny_arguments):
    arguments = ["--config", NATURAL, "--run", str(tmp_path / "run"), *tiny_arguments]
    # Epochs of at least 50 steps of 2 images, and a learning rate that learns nothing.
    arguments += ["--data.init_args.train=100", "--data.init_args.batch_size=2", "--data.init_args.val=40"]
    arguments += ["--model.init_args.optimizer.init_args.lr=1e-9", "--trainer.max_epochs=3"]
    with pytest.raises(
        SystemExit, match=r"clean validation accuracy 0\.\d+ has stayed under .* and name another folder"
    ):
        train.main(arguments)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_an_overlay_merges_mappings_and_replaces_attacks():
    base = {
        "model": {"class_path": "A", "init_args": {"attacks": {"one": 1}, "width": 2}},
        "trainer": {"callbacks": [1]},
    }
    overlay = {"model": {"init_args": {"attacks": {"two": 2}}}, "trainer": {"callbacks+": [2]}}
    assert laid_over(base, overlay) == {
        "model": {"class_path": "A", "init_args": {"attacks": {"two": 2}, "width": 2}},
        "trainer": {"callbacks": [1, 2]},
    }
    assert laid_over(base, {"model": {"class_path": "B"}})["model"] == {"class_path": "B"}
    adapted = {"class_path": "TorchAttack", "dict_kwargs": {"steps": 10}}
    assert laid_over({"attack": adapted}, {"attack": {"class_path": "PGD"}}) == {"attack": {"class_path": "PGD"}}
