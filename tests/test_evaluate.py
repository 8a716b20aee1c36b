"""Evaluations by ``evaluate.py``: what they write, that it is the same every time, and what W&B gets."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import evaluate
import train
from advscope.report import estimate, load_examples, read_columns, read_rows, read_summary

ROOT = Path(__file__).resolve().parent.parent


def figures_of(folder):
    return {key: estimate(fields) for key, fields in read_summary(folder / "summary.json")["figures"].items()}


DISSECTION = str(ROOT / "configs" / "evaluation" / "dissection.yaml")
QUIET = ["--wandb=off", "--trainer.enable_progress_bar=false"]


def test_results_are_complete(tiny_results):
    summary = read_summary(tiny_results / "summary.json")
    columns = read_columns(tiny_results / "images.csv")
    assert summary["data"]["n"] == 50
    assert len(columns["index"]) == 50
    assert summary["counts"]["pgd20"]["eligible"] == int(columns["eligible"].sum())
    assert summary["counts"]["pgd20"]["attacked"] == int(columns["attacked"].sum())
    figures = figures_of(tiny_results)
    for key in (
        "test/clean/accuracy",
        "test/pgd20/robust_accuracy",
        "test/all/robust_accuracy",
        "test/pgd20/psr/suppression_share",
        "test/pgd20/is/excess_clean",
        "test/pgd20/bias/conv1/relative",
        "test/pgd20/size/linf",
    ):
        assert figures[key].n + figures[key].undefined in (50, summary["counts"]["pgd20"]["attacked"])
    assert summary["passes"]["forwards"] > summary["passes"]["backwards"] >= 50 * 20
    assert {path.name for path in (tiny_results / "figures").iterdir()} >= {"accuracy.png", "bias.png"}
    assert load_examples(tiny_results / "arrays.npz")


def test_figures_of_the_summary_are_those_of_the_rows(tiny_results):
    figures = figures_of(tiny_results)
    columns = read_columns(tiny_results / "images.csv")
    correct = columns["prediction"] == columns["label"]
    assert figures["test/clean/accuracy"].value == pytest.approx(correct.mean())
    withstood = columns["adversarial_prediction"] == columns["label"]
    assert figures["test/pgd20/robust_accuracy"].value == pytest.approx(withstood.mean())
    for name in ("psr/inactive_share", "is/score_clean", "bias/linear/raw", "size/l2", "size/active_cells"):
        values = columns[name][columns["attacked"]]
        values = values[values == values]
        assert figures[f"test/pgd20/{name}"].n == len(values)
        assert figures[f"test/pgd20/{name}"].value == pytest.approx(values.mean(), rel=1e-7)


def test_summary_and_rows_are_the_same_bytes_every_time_and_for_every_batch_size(tiny_run, tiny_results):
    for name, more in (("again", []), ("batches", ["--data.init_args.eval_batch_size=7"])):
        evaluate.main(["--run", str(tiny_run), "--name", name, *QUIET, *more])
        again = tiny_run / "results" / name
        assert (again / "images.csv").read_bytes() == (tiny_results / "images.csv").read_bytes()
        one, other = (json.loads((folder / "summary.json").read_text()) for folder in (tiny_results, again))
        # Batch size and name are settings; nothing else may differ.
        one["name"] = other["name"] = ""
        one["settings"]["data"]["init_args"]["eval_batch_size"] = 0
        other["settings"]["data"]["init_args"]["eval_batch_size"] = 0
        assert one == other
    first = (tiny_results / "summary.json").read_bytes()
    evaluate.main(["--run", str(tiny_run), *QUIET])
    assert (tiny_results / "summary.json").read_bytes() == first


def test_an_overlays_attacks_replace_those_of_the_run(tiny_run, tmp_path):
    overlay = tmp_path / "one_step.yaml"
    attack = {"class_path": "advscope.attacks.FGSM", "init_args": {"eps": "2/255"}}
    overlay.write_text(yaml.safe_dump({"model": {"init_args": {"attacks": {"fgsm": attack}}}}))
    evaluate.main(["--run", str(tiny_run), "--config", str(overlay), *QUIET])
    summary = read_summary(tiny_run / "results" / "one_step" / "summary.json")
    assert set(summary["counts"]) == {"fgsm"}
    assert summary["settings"]["model"]["init_args"]["attacks"]["fgsm"]["init_args"]["eps"] == pytest.approx(2 / 255)


def test_several_attacks_together_are_the_images_that_withstand_each(tiny_run):
    evaluate.main(["--run", str(tiny_run), "--config", str(ROOT / "configs/evaluation/attacks.yaml"), *QUIET])
    folder = tiny_run / "results" / "attacks"
    columns = read_columns(folder / "images.csv")
    withstood = columns["adversarial_prediction"] == columns["label"]
    attacks = sorted(set(columns["attack"]))
    together = [
        all(withstood[(columns["attack"] == attack) & (columns["index"] == index)].item() for attack in attacks)
        for index in sorted(set(columns["index"]))
    ]
    value = figures_of(folder)["test/all/robust_accuracy"].value
    assert value == pytest.approx(sum(together) / len(together))


def test_two_monitors_of_one_kind_are_refused(tiny_run, tmp_path):
    overlay = tmp_path / "twice.yaml"
    monitor = {"class_path": "callbacks.ActivationBiasMonitor"}
    overlay.write_text(yaml.safe_dump({"trainer": {"callbacks": [monitor, monitor]}}))
    with pytest.raises(SystemExit, match=r"two monitors of one kind .*ActivationBiasMonitor.*keep one"):
        evaluate.main(["--run", str(tiny_run), "--config", str(overlay), *QUIET])


def test_a_network_trained_elsewhere_is_evaluated_from_its_weights(tiny_run, tiny_results, tiny_arguments, tmp_path):
    state = torch.load(tiny_run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    weights = tmp_path / "elsewhere.pth"
    torch.save({name.replace("network.", "module.", 1): tensor for name, tensor in state.items()}, weights)
    config = ROOT / "configs" / "concept_shapes_madry_demo.yaml"
    run = tmp_path / "outside"
    evaluate.main(["--config", str(config), "--weights", str(weights), "--run", str(run), *tiny_arguments, *QUIET])
    assert (run / "results/standard/images.csv").read_bytes() == (tiny_results / "images.csv").read_bytes()


NO_STEPS = """\
trainer:
  callbacks:
    - class_path: callbacks.InterpretabilityMonitor
      init_args: {further: {ig: {class_path: advscope.explainers.IntegratedGradients, init_args: {steps: 0}}}}
"""
"""An overlay that a class refuses deep inside a list and a mapping."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "nowhere"], "nowhere has no config.yaml: name the folder that train.py --run wrote"),
        (["--run", "RUN", "--checkpoint", "worst"], "--checkpoint can be best_clean, best_robust, last"),
        (["--run", "RUN", "--config", "none.yaml"], "there is no config none.yaml"),
        (["--config", DISSECTION, "--weights", "none.pth"], "--weights: there is no file none.pth"),
        (["--run", "RUN", *QUIET, "--model.init_args.network.init_args.depth=9"], "error: depth must be 6n + 2"),
        pytest.param(
            ["--run", "RUN", *QUIET, "--trainer.accelerator=gpu"],
            "No supported gpu backend found",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (
            ["--run", "RUN", "--config", DISSECTION, *QUIET, "--trainer.callbacks.init_args.quantile=5"],
            "error: quantile must be in (0, 1), got 5.0",
        ),
        (
            ["--run", "RUN", *QUIET, "--config", "OVERLAY"],
            "error: steps must be at least 1 and chunk_size at least 1, got 0 and 64",
        ),
    ],
)
def test_bad_input_ends_in_one_line(tiny_run, tmp_path, arguments, message):
    (tmp_path / "overlay.yaml").write_text(NO_STEPS)
    named = {"RUN": str(tiny_run), "OVERLAY": str(tmp_path / "overlay.yaml")}
    with pytest.raises(SystemExit) as error:
        evaluate.main([named.get(argument, argument) for argument in arguments])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def inspected(*arguments):
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_offline_wandb_run_holds_the_figures_of_the_summary(tiny_run, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    run = tmp_path / "logged"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    evaluate.main(["--run", str(run), "--wandb=offline", "--trainer.enable_progress_bar=false"])
    (folder,) = (run / "results" / "standard" / "wandb").glob("offline-run-*")
    read = json.loads(inspected("--summary", "--json", folder))
    assert read["project"] == "advscope"
    (logged,) = (json.loads(line)["run"] for line in inspected("--json", folder).splitlines() if '"type":"run"' in line)
    assert (logged["job_type"], logged["run_group"]) == ("evaluate", "logged")
    media = folder / "files" / "media"
    drawn = {path.stem for path in (run / "results" / "standard" / "figures").glob("*.png")}
    assert {path.name.rsplit("_", 2)[0] for path in (media / "images" / "figures").glob("*.png")} == drawn
    (table,) = (json.loads(path.read_text()) for path in (media / "table").glob("images_*.table.json"))
    assert len(table["data"]) == len(read_rows(run / "results" / "standard" / "images.csv"))
    assert table["columns"][:2] == ["attack", "index"]
    for key, figure in figures_of(run / "results" / "standard").items():
        assert read["summary"][f"{key}/n"] == figure.n
        if figure.value == figure.value:
            assert read["summary"][key] == pytest.approx(figure.value, rel=1e-6)


@pytest.mark.parametrize("mode", ["auto", "offline"])
def test_a_training_is_logged_offline_with_its_config(mode, tiny_arguments, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "nobody is logged in"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    arguments = [argument for argument in tiny_arguments if argument != "--wandb=off"]
    run = tmp_path / "natural"
    config = str(ROOT / "configs" / "concept_shapes_natural_demo.yaml")
    train.main(["--config", config, "--run", str(run), *arguments, f"--wandb={mode}", "--trainer.max_epochs=1"])
    record = json.loads((run / "run.json").read_text())
    (folder,) = (run / "wandb").glob("offline-run-*")
    read = json.loads(inspected("--summary", "--json", folder))
    assert read["run_id"] == record["wandb"]["id"]
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert read["summary"]["val/clean/accuracy"] == pytest.approx(last["val/clean/accuracy"])
    assert read["config"]["model"]["class_path"] == "lightning_modules.NaturalClassifier"
    records = [json.loads(line) for line in inspected("--json", folder).splitlines()]
    (logged,) = (record["run"] for record in records if record["type"] == "run")
    assert logged["job_type"] == "train"
    assert logged["run_group"] == "natural"
    assert {"ConceptShapes", "NaturalClassifier", "CIFARResNet"} == set(logged["tags"])
    axes = {record["metric"].get("name"): record["metric"] for record in records if record["type"] == "metric"}
    shown = {key for key in last if key.startswith("val/")}
    assert shown
    assert {axes[key]["step_metric"] for key in shown} == {"epoch"}


def test_another_precision_than_float32_is_refused(tiny_run, capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["--run", str(tiny_run), "--trainer.precision=bf16-true"])
    assert "evaluations run in float32, so that they can be compared" in capsys.readouterr().err


def test_another_checkpoint_does_not_replace_the_last_ones_results(tiny_run, tiny_results):
    before = (tiny_results / "summary.json").read_bytes()
    evaluate.main(["--run", str(tiny_run), "--checkpoint", "best_clean", *QUIET])
    assert (tiny_results / "summary.json").read_bytes() == before
    named = read_summary(tiny_run / "results" / "standard-best_clean" / "summary.json")
    assert named["run"]["checkpoint"] == "best_clean.ckpt"
    assert named["settings"]["trainer"]["precision"] == "32-true"


def test_an_evaluation_can_be_tried_out(tiny_run):
    evaluate.main(["--run", str(tiny_run), "--name", "tried", "--trainer.fast_dev_run=true", *QUIET])
    assert not (tiny_run / "results" / "tried").exists()


def test_one_batch_is_one_batch_and_not_all_of_them(tiny_run):
    evaluate.main(["--run", str(tiny_run), "--name", "one_batch", "--trainer.limit_test_batches=1", *QUIET])
    summary = read_summary(tiny_run / "results" / "one_batch" / "summary.json")
    assert summary["data"]["n"] == 24
    assert type(summary["settings"]["trainer"]["limit_test_batches"]) is int
