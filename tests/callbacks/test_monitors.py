"""Monitors: what they leave alone, when they look, and that two processes give the figures of one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import train
from advscope.report import read_columns, read_summary
from callbacks import (
    ActivationBiasMonitor,
    InterpretabilityMonitor,
    PerturbationSizeMonitor,
    PromotionSuppressionMonitor,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "concept_shapes_madry_demo.yaml")
MONITORS = (
    "PromotionSuppressionMonitor",
    "InterpretabilityMonitor",
    "ActivationBiasMonitor",
    "PerturbationSizeMonitor",
    "DissectionMonitor",
    "UnitMaskingMonitor",
    "ActivationMapsMonitor",
)


def fit(run, tiny_arguments, monitors, epochs=2, **settings):
    data = {"class_path": "datamodules.ConceptShapes", "init_args": {"root": None, "train": 1, "val": 1, "test": 20}}
    explainers = {
        "gradcam": {"class_path": "advscope.explainers.GradCAM"},
        "grad_cam_pp": {"class_path": "advscope.explainers.GradCAMPlusPlus"},
        "smooth": {"class_path": "advscope.explainers.SmoothGrad", "init_args": {"samples": 2}},
        "ig": {"class_path": "advscope.explainers.IntegratedGradients", "init_args": {"steps": 2}},
    }
    own = {
        "ActivationBiasMonitor": {"control": True},
        "DissectionMonitor": {"data": data, "draws": 100, "target": "cup", "resolution": "input", "top_images": 2},
        "UnitMaskingMonitor": {"layer": "layer3.0"},
        # Not "auto": that the partial forward runs is the point.
        "PromotionSuppressionMonitor": {"forward": "partial"},
        "InterpretabilityMonitor": {"further": explainers, "quantiles": [0.5], "control_cell_size": 4},
    }
    listed = [{"class_path": f"callbacks.{name}", "init_args": settings | own.get(name, {})} for name in monitors]
    overlay = run.with_suffix(".yaml")
    overlay.write_text(yaml.safe_dump({"trainer": {"callbacks": listed}}))
    arguments = ["--config", CONFIG, "--config", str(overlay), "--run", str(run), *tiny_arguments]
    train.main([*arguments, f"--trainer.max_epochs={epochs}"])
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_training_with_every_monitor_is_bit_identical_to_training_without(tmp_path, tiny_arguments):
    # All of the split: an attack must succeed on some image, or the monitors have nothing to do.
    arguments = [*tiny_arguments, "--model.init_args.validation_attack_images=40"]
    watched = fit(tmp_path / "watched", arguments, MONITORS)
    fit(tmp_path / "alone", arguments, ())
    one, other = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("watched", "alone")
    )
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][name]), name
    for place, state in one["optimizer_states"][0]["state"].items():
        assert torch.equal(state["momentum_buffer"], other["optimizer_states"][0]["state"][place]["momentum_buffer"])
    assert torch.equal(one["random_state"], other["random_state"])
    scores = ("is/score_clean", "is/score_adversarial_shuffled_cells_smooth_at_50", "is/score_clean_noise_ig")
    for measure in (
        "psr/inactive_share",
        *scores,
        "bias/conv1/raw",
        "bias/conv1/raw_noise",
        "size/l2",
        "size/success_rate",
    ):
        assert watched[-1][f"val/pgd20/{measure}"] is not None
    assert watched[-1]["val/pgd20/psr/operations_share"] < 0.9
    assert watched[-1]["val/pgd/dissection/layer3.0/units"] == 32


def test_a_monitor_looks_every_n_epochs_alone(tmp_path, tiny_arguments):
    lines = fit(tmp_path / "run", tiny_arguments, ["ActivationBiasMonitor"], epochs=3, every_n_epochs=2)
    assert ["val/pgd20/bias/conv1/raw" in line for line in lines] == [False, True, False]
    assert all("val/clean/accuracy" in line for line in lines)


def test_more_images_than_validation_attacks_are_refused_at_set_up(tmp_path, tiny_arguments):
    with pytest.raises(SystemExit, match=r"max_images=21 exceeds the 20 images that validation attacks; lower it"):
        fit(tmp_path / "run", tiny_arguments, ["InterpretabilityMonitor"], max_images=21)


@pytest.mark.parametrize(
    "monitor",
    [ActivationBiasMonitor, InterpretabilityMonitor, PerturbationSizeMonitor, PromotionSuppressionMonitor],
)
def test_settings_that_are_not_allowed_are_named(monitor):
    with pytest.raises(ValueError, match="every_n_epochs must be at least 1, got 0"):
        monitor(every_n_epochs=0)
    with pytest.raises(ValueError, match="max_images must be at least 1, or null for all, got 0"):
        monitor(max_images=0)


@pytest.mark.parametrize(
    ("monitor", "settings", "message"),
    [
        (PerturbationSizeMonitor, {"cell_size": 2, "stride": 3}, "stride must be in 1 ... cell_size = 2, got 3"),
        (PerturbationSizeMonitor, {"threshold": 0.0}, "threshold must be positive, got 0.0"),
        (PromotionSuppressionMonitor, {"cell_size": 0}, "cell_size must be at least 1, got 0"),
        (PromotionSuppressionMonitor, {"floor": 0.0}, "floor must be positive and finite"),
        (InterpretabilityMonitor, {"quantile": 1.0}, r"quantile must be in \[0, 1\), got 1.0"),
    ],
)
def test_settings_of_a_measure_are_refused_before_any_attack(monitor, settings, message):
    with pytest.raises(ValueError, match=message):
        monitor(**settings)


def test_two_processes_give_the_figures_of_one(tiny_run, tiny_results):
    arguments = ["--run", str(tiny_run), "--name", "two", "--wandb=off", "--trainer.enable_progress_bar=false"]
    arguments += ["--trainer.devices=2", "--trainer.strategy=ddp_spawn"]
    program = f"import evaluate; evaluate.main({arguments!r})"
    script = tiny_run / "two.py"
    script.write_text(f"if __name__ == '__main__':\n    {program}\n")
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "WANDB_MODE": "disabled"}
    subprocess.run([sys.executable, str(script)], check=True, env=environment, capture_output=True, cwd=ROOT)
    one, two = (read_summary(tiny_run / "results" / name / "summary.json") for name in ("standard", "two"))
    # 50 test images in batches of 24 over two processes: the last batches are uneven.
    assert json.loads((tiny_run / "results" / "two" / "timing.json").read_text())["processes"] == 2
    assert one["counts"] == two["counts"]
    assert one["passes"] == two["passes"]
    assert one["figures"].keys() == two["figures"].keys()
    for key, fields in one["figures"].items():
        assert two["figures"][key] == pytest.approx(fields, abs=1e-6, nan_ok=True), key
    rows, others = (read_columns(tiny_run / "results" / name / "images.csv") for name in ("standard", "two"))
    assert rows.keys() == others.keys()
    assert (rows["index"] == others["index"]).all()
