"""Every config runs, from training to evaluation, on miniatures in the real formats."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import evaluate
import train
from advscope.report import load_examples, read_summary
from cli import read_overlay
from datamodules.concept_shapes import export_broden

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
OVERLAYS = sorted((ROOT / "configs" / "evaluation").glob("*.yaml")) + sorted(
    (ROOT / "configs" / "paper").glob("*.yaml")
)
PAIRS = [
    overlay.stem
    for overlay in OVERLAYS
    if overlay.parent.name == "evaluation" and overlay.with_stem(f"{overlay.stem}_fast") in OVERLAYS
]


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    """Return a folder with 60 training and 10 test images in CIFAR-10's official layout."""
    root = tmp_path_factory.mktemp("cifar10")
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, count in (("data_batch_1", 40), ("data_batch_2", 20), ("test_batch", 10)):
        content = {
            "data": generator.integers(0, 256, (count, 3072), dtype=np.uint8),
            "labels": [place % 10 for place in range(count)],
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = {"label_names": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]}
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))
    return root


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Return a folder with 3 classes in ILSVRC2012's layout, 8 images each to train on and 2 to test on."""
    root = tmp_path_factory.mktemp("imagenet")
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        for synset in ("n01440764", "n01443537", "n01484850"):
            folder = root / split / synset
            folder.mkdir(parents=True)
            for place in range(count):
                pixels = generator.integers(0, 256, (72, 80, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{synset}_{place}.JPEG")
    return root


@pytest.fixture
def tiny(config, request, tiny_arguments):
    """Return the arguments that make a config tiny: its own network (but for size), attack, optimizer and schedule."""
    data = yaml.safe_load(config.read_text())["data"]["class_path"]
    common = [argument for argument in tiny_arguments if argument.startswith(("--trainer", "--wandb", "--model"))]
    common = [argument for argument in common if "network" not in argument]
    if data == "datamodules.ConceptShapes":
        return [*tiny_arguments[:6], *common]
    if data == "datamodules.CIFAR10":
        root = request.getfixturevalue("cifar10")
        small = ["--data.init_args.verify=false", "--data.init_args.batch_size=8"]
        if "w32_10" in config.stem:
            common.append("--model.init_args.network.init_args.widths=[4, 4, 8, 8]")
            common.append("--trainer.max_steps=2")
        return [f"--data.init_args.root={root}", *small, *common]
    root = request.getfixturevalue("imagenet")
    small = ["batch_size=4", "eval_batch_size=4", "size=64", "resize=72", "num_workers=0"]
    return [
        f"--data.init_args.root={root}",
        *(f"--data.init_args.{setting}" for setting in small),
        "--model.init_args.network.init_args.num_classes=3",
        *common,
        "--model.init_args.validation_attack_images=2",
        # BatchNorm over four images of one position each: the gradient is of no use, so that a full step ends in nan.
        "--model.init_args.optimizer.init_args.lr=1e-6",
        "--model.init_args.micro_batch=4",
    ]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_config_runs_from_training_to_evaluation(config, tiny, tmp_path):
    run = tmp_path / "run"
    once = [] if "--trainer.max_steps=2" in tiny else ["--trainer.max_epochs=1"]
    train.main(["--config", str(config), "--run", str(run), *tiny, *once, "--trainer.limit_train_batches=2"])
    record = json.loads((run / "run.json").read_text())
    assert record["objective"] == yaml.safe_load(config.read_text())["model"]["class_path"].split(".")[1]

    evaluate.main(
        ["--run", str(run), "--wandb=off", "--trainer.enable_progress_bar=false", "--trainer.limit_test_batches=1"]
    )
    figures = read_summary(run / "results" / "standard" / "summary.json")["figures"]
    assert 0 <= figures["test/pgd20/robust_accuracy"]["value"] <= figures["test/clean/accuracy"]["high"]
    assert any("/psr/" in key for key in figures)


def shortened(settings):
    """Return an overlay's settings, its searches cut down to a few steps."""
    if isinstance(settings, list):
        return [shortened(item) for item in settings]
    if not isinstance(settings, dict):
        return settings
    short = {key: shortened(value) for key, value in settings.items()}
    few = {"steps": 3, "binary_search_steps": 2, "polish_steps": 1}
    grid = {"steps": 2, "resolution": 0.05, "highest": 0.1}
    name = short.get("class_path", "").rpartition(".")[2]
    if name in ("CarliniWagner", "ElasticNet", "Structured"):
        short["init_args"] |= few
    if name == "SmallestIFGSM":
        short["init_args"] |= grid
    return short


DISSECTING = {"demo", "dissection", "dissection_broden", "unit_masking", "figure7", "figure8"}
"""Overlays that dissect units; all but the demo attack no test image."""


def miniature(overlay, folder):
    """Return an overlay that dissects, on few concept images, with layers, classes and numbers of the tiny run."""
    settings = shortened(read_overlay(overlay))
    for monitor in settings["trainer"]["callbacks"]:
        given = monitor.get("init_args", {})
        if monitor["class_path"] == "callbacks.UnitMaskingMonitor":
            given |= {"layer": "layer3.0", "max_images": 5}
        if monitor["class_path"] != "callbacks.DissectionMonitor":
            continue
        if given["data"]["class_path"] == "datamodules.Broden":
            export_broden(folder / "broden", images=12, size=32)
            given["data"]["init_args"]["root"] = str(folder / "broden")
        else:
            given["data"]["init_args"]["test"] = 12
        if "layers" in given:
            given["layers"] = ["conv1", "layer1.0", "layer2.0", "layer3.0"]
        if "source" in given:
            # The tiny run knows no class: no image is of a source, and hardly one reaches a target.
            pgd = {"class_path": "advscope.attacks.PGD", "init_args": {"eps": 0.5, "step_size": 0.1, "steps": 20}}
            given |= {"source": None, "target": None, "attack": pgd}
    return settings


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_runs_on_a_run(overlay, tiny_run, tmp_path):
    # The tiny run gets none of six images right: examples need more.
    images = 50 if overlay.stem == "figure9" else 6
    arguments = ["--run", str(tiny_run), "--config", str(overlay), "--wandb=off", f"--data.init_args.test={images}"]
    if overlay.stem == "autoattack":
        # The standard's settings take minutes: the same attacks, as composed by the overlay, with few steps.
        short = yaml.safe_load(overlay.read_text())
        for attack in short["model"]["init_args"]["attacks"]["autoattack"]["init_args"]["attacks"]:
            settings = attack["dict_kwargs"]
            settings["n_queries" if "n_queries" in settings else "steps"] = 3
        path = tmp_path / overlay.name
        path.write_text(yaml.safe_dump(short))
        arguments[3] = str(path)
    if "_attacks_" in overlay.stem or overlay.parent.name == "paper":
        path = tmp_path / overlay.name
        path.write_text(yaml.safe_dump(shortened(read_overlay(overlay))))
        arguments[3] = str(path)
    if overlay.stem in DISSECTING:
        path = tmp_path / overlay.name
        path.write_text(yaml.safe_dump(miniature(overlay, tmp_path)))
        arguments[3] = str(path)
    evaluate.main([*arguments, "--name", f"overlay_{overlay.stem}", "--trainer.enable_progress_bar=false"])
    summary = read_summary(tiny_run / "results" / f"overlay_{overlay.stem}" / "summary.json")
    assert summary["data"]["n"] == images
    if overlay.parent.name == "paper":
        check_the_papers_tables(tiny_run / "results" / f"overlay_{overlay.stem}", overlay.stem)
    if "_attacks_" in overlay.stem:
        check_the_papers_attacks(summary, refined=overlay.stem.startswith("refined"))
    assert ("test/all/robust_accuracy" in summary["figures"]) == (overlay.stem not in DISSECTING - {"demo"})
    dissected = overlay.stem in DISSECTING
    assert (summary["figures"].get("test/pgd/dissection/conv1/units", {}).get("value") == 8) == dissected
    results = tiny_run / "results" / f"overlay_{overlay.stem}"
    assert (results / "masking.csv").exists() == (overlay.stem == "unit_masking")
    found = summary["counts"].get("pgd/dissection", {}).get("attacked", 0)
    assert (results / "unit_examples.npz").exists() == (found > 0)
    assert found > 0 or overlay.stem != "figure8"
    assert (results / "significance.csv").exists() == (results / "dissection" / "dissection.json").exists() == dissected
    for attack in summary["settings"]["model"]["init_args"]["attacks"]:
        controlled = f"test/{attack}/bias/conv1/relative_noise" in summary["figures"]
        assert controlled == overlay.stem.startswith(("figure9", "figureA8"))
    if overlay.stem == "figure9":
        assert summary["counts"]["pgd20"]["attacked"] > 0
        arrays = load_examples(results / "arrays.npz")
        assert arrays["pgd20/activations/adversarial/layer3.0"].shape == (len(arrays["pgd20/images"]), 8, 8)


def check_the_papers_tables(folder, name):
    """Check that the tables that an overlay promises are there, with the paper's four attacks, and no others."""
    promised = {"attacks": set(), "tables": {"table1", "table2"}}
    kind = name.partition("_")[0]
    wanted = set() if kind.startswith("figure") else promised.get(kind, {kind})
    assert {path.stem for path in folder.glob("table*.md")} == wanted
    for name in wanted:
        rows = list(csv.DictReader((folder / f"{name}.csv").open()))
        assert {row["method"] for row in rows} == {"IFGSM", "C&W", "EAD", "Str"}
        assert len(rows) == {"table1": 12, "table2": 8, "tableA1": 40}[name]


def check_the_papers_attacks(summary, *, refined):
    """Check that each attack was run, targeted, counted and measured."""
    names = {"ifgsm", "cw", "ead", "str"}
    names |= {f"{name}_{region}" for name in names for region in ("s1", "s2")} if refined else set()
    assert set(summary["counts"]) == set(summary["settings"]["model"]["init_args"]["targeting"]) == names
    figures = summary["figures"]
    for name in names:
        assert figures[f"test/{name}/cost/forward_passes"]["n"] == 6
        assert figures[f"test/{name}/size/success_rate"]["n"] == summary["counts"][name]["eligible"]
        for key in ("psr/suppression_share", "is/score_clean", "bias/conv1/relative"):
            assert (f"test/{name}/{key}" in figures) == (not refined)
    assert all(figures[f"test/{name}/cost/backward_passes"]["value"] > 0 for name in ("cw", "ead", "str"))


def test_overlays_that_take_long_have_a_fast_one():
    assert PAIRS == ["paper_attacks_224", "paper_attacks_32", "refined_attacks_32"]


@pytest.mark.parametrize("name", PAIRS)
def test_a_fast_overlay_differs_in_effort_alone(name):
    effort = {"steps", "binary_search_steps", "polish_steps", "highest", "micro_batch", "eval_batch_size"}

    def essence(settings):
        if isinstance(settings, dict):
            return {key: essence(value) for key, value in settings.items() if key not in effort}
        return settings

    whole, fast = (yaml.safe_load((OVERLAYS[0].parent / f"{name}{end}.yaml").read_text()) for end in ("", "_fast"))
    assert whole != fast
    assert essence(whole) == essence(fast)
    # The other one has the attacks' own effort, whose settings are tested with them, and batches of its own.
    assert essence(whole) == {**whole, "data": {"init_args": {}}}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_that_searches_keeps_its_work_after_few_images(overlay):
    settings = read_overlay(overlay)
    searching = "CarliniWagner" in yaml.safe_dump(settings)
    other = overlay.stem in ("figure7", "figure8", "figure9")
    assert searching == ((overlay.parent.name == "paper" and not other) or "_attacks_" in overlay.stem)
    if searching:
        # A smaller batch than a micro-batch would be padded at full cost; a larger one is all lost where it is killed.
        micro = settings["model"]["init_args"].get("micro_batch", 64)
        assert micro <= settings["data"]["init_args"]["eval_batch_size"] <= 2 * micro


def test_refined_attacks_and_the_smallest_budget_run_from_a_config(tiny_run, tmp_path):
    pgd = {"class_path": "advscope.attacks.PGD", "init_args": {"eps": 0.5, "step_size": 0.2, "steps": 3}}
    regions = {
        "cells": {"class_path": "advscope.measures.SignificantCells", "init_args": {"cell_size": 4}},
        "pixels": {
            "class_path": "advscope.measures.SalientPixels",
            "init_args": {"explainer": {"class_path": "advscope.explainers.CAM"}},
        },
        "layer": {
            "class_path": "advscope.measures.SalientPixels",
            "init_args": {
                "explainer": {"class_path": "advscope.explainers.GradCAM", "init_args": {"layer": "layer3"}},
                "quantile": 0.5,
            },
        },
    }
    attacks = {
        name: {"class_path": "advscope.attacks.Refined", "init_args": {"attack": pgd, "region": region}}
        for name, region in regions.items()
    }
    attacks["smallest"] = {
        "class_path": "advscope.attacks.SmallestIFGSM",
        "init_args": {"steps": 2, "resolution": "2/255", "highest": "8/255", "confidence": 0.1},
    }
    settings = {"attacks": attacks, "targeting": {"layer": "random"}, "target_seed": 3}
    overlay = tmp_path / "refined.yaml"
    overlay.write_text(
        yaml.safe_dump(
            {
                "model": {"init_args": settings},
                "trainer": {"callbacks": [{"class_path": "callbacks.InterpretabilityMonitor"}]},
            }
        )
    )
    arguments = ["--run", str(tiny_run), "--config", str(overlay), "--wandb=off", "--data.init_args.test=50"]
    evaluate.main([*arguments, "--name", "refined", "--trainer.enable_progress_bar=false"])
    figures = read_summary(tiny_run / "results" / "refined" / "summary.json")["figures"]
    assert all(f"test/{name}/robust_accuracy" in figures for name in attacks)
    assert all(f"test/{name}/is/score_clean" in figures for name in attacks)
    # The perturbation lies in the region that the score is taken in.
    inside = figures["test/pixels/is/score_clean"]
    assert inside["n"] > 0
    assert inside["value"] == pytest.approx(1)


@pytest.mark.parametrize("config", [*CONFIGS, *OVERLAYS], ids=lambda path: path.stem)
def test_a_config_says_what_it_is_and_how_to_run_it(config):
    header = [line for line in config.read_text().splitlines() if line.startswith("#")]
    assert any("python train.py" in line or "python evaluate.py" in line for line in header)
    if config.parent.name == "configs":
        assert any("Not run here" in line or "%" in line for line in header)
