"""What an evaluation writes of a dissection: what dissect found, the same bytes after a kill, nothing of before."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import evaluate
from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.measures import Dissection, DissectionSettings, dissect
from advscope.networks import CIFARResNet, load_weights
from advscope.report import read_top_images, read_unit_examples
from datamodules import ConceptShapes

ROOT = Path(__file__).resolve().parents[2]
DATA = {"root": None, "train": 1, "val": 1, "test": 30, "eval_batch_size": 8}
QUIET = ["--wandb=off", "--trainer.enable_progress_bar=false"]
LAYERS = ["conv1", "layer1.0", "layer3.0"]
OF_DISSECTION = ("units.csv", "significance.csv", "unit_examples.npz", "top_images.npz")


def overlay(path: Path, **settings: Any) -> Path:
    """Write an overlay that dissects and does nothing else; without settings one that does nothing."""
    data = {"class_path": "datamodules.ConceptShapes", "init_args": DATA}
    given = {"data": data, "draws": 50, "layers": LAYERS} | settings
    callbacks = [{"class_path": "callbacks.DissectionMonitor", "init_args": given}] if settings else []
    path.write_text(yaml.safe_dump({"model": {"init_args": {"attacks": {}}}, "trainer": {"callbacks": callbacks}}))
    return path


def written(folder: Path) -> dict[str, bytes]:
    """Return the bytes of what a dissection leaves in an evaluation's folder, hidden files included."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if name in OF_DISSECTION or name.startswith(("dissection/", ".dissection"))
    }


ATTACK = {"eps": 0.1, "step_size": 0.02, "steps": 20}
SETTINGS: dict[str, Any] = {
    "attack": {"class_path": "advscope.attacks.PGD", "init_args": ATTACK},
    "target": "cup",
    "quantile": 0.1,
    "examples": 3,
    "top_images": 4,
    "strict": False,
}


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tiny run, with results of its own."""
    place = tmp_path_factory.mktemp("of_dissection") / "tiny"
    return Path(shutil.copytree(tiny_run, place, ignore=shutil.ignore_patterns("results")))


@pytest.fixture(scope="module")
def results(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of an evaluation that dissects under an attack towards one class."""
    config = overlay(tmp_path_factory.mktemp("overlay") / "targeted.yaml", **SETTINGS)
    evaluate.main(["--run", str(run), "--config", str(config), *QUIET])
    return run / "results" / "targeted"


class Again:
    """What the monitor is to have found, computed through the library."""

    def __init__(self, run: Path) -> None:
        self.data = ConceptShapes(**DATA)
        self.data.setup("test")
        network = CIFARResNet(8, width=8).eval().to(memory_format=torch.channels_last)
        load_weights(network, run / "checkpoints" / "last.ckpt")
        self.network = MicroBatched(network, 16)
        self.target = self.data.class_names.index("cup")
        settings = DissectionSettings(0.1, strict=False, draws=50, top_images=4, target=self.target)
        self.attack = PGD(**ATTACK)
        batches = self.data.test_dataloader()
        self.found: Dissection = dissect(self.network, batches, LAYERS, attack=self.attack, settings=settings)
        parts = list(batches)
        self.all = Batch(*(torch.cat([part[place] for part in parts]) for place in range(4)))

    def at(self, indices: list[int]) -> Batch:
        places = [self.all.indices.tolist().index(index) for index in indices]
        return self.all.part(torch.tensor(places))

    def masks(self, images: torch.Tensor, layer: str, unit: int) -> np.ndarray:
        """Return a unit's masks by torch's own sampling, -1 where that is too near to the threshold to tell."""
        kept: list[torch.Tensor] = []
        handle = self.network.network.get_submodule(layer).register_forward_hook(lambda _, __, out: kept.append(out))
        with torch.no_grad():
            self.network(images)
        handle.remove()
        maps = torch.cat(kept)[: len(images), unit : unit + 1]
        size = self.found.mask_size
        scaled = torch.nn.functional.interpolate(maps.double(), size, mode="bilinear", align_corners=False)[:, 0]
        threshold = float(self.found[layer].threshold[unit])
        masks = (scaled >= threshold).numpy().astype(np.int8)
        masks[((scaled - threshold).abs() < 1e-6).numpy()] = -1
        return masks


@pytest.fixture(scope="module")
def again(run: Path) -> Again:
    return Again(run)


def assert_masks(found: np.ndarray, wanted: np.ndarray) -> None:
    told = wanted >= 0
    assert told.mean() > 0.5
    assert np.array_equal(found[told], wanted[told] == 1)


def test_the_folder_is_that_of_the_library(results: Path, again: Again, tmp_path: Path) -> None:
    again.found.save(tmp_path / "dissection")
    wanted = {path.name: path.read_bytes() for path in (tmp_path / "dissection").rglob("*") if path.is_file()}
    found = {path.name: path.read_bytes() for path in (results / "dissection").rglob("*") if path.is_file()}
    assert found == wanted
    for name in ("units.csv", "significance.csv"):
        assert (results / name).read_bytes() == wanted[name]
    assert again.found["conv1"].counts["attacked"] > 0
    assert again.found["conv1"].counts["not_chosen"] > 0  # those of the target class


def test_examples_hold_the_pairs_and_masks_of_what_was_found(results: Path, again: Again) -> None:
    examples = read_unit_examples(results / "unit_examples.npz")
    indices = examples.indices.tolist()
    assert indices == list(again.found.attacked[:3])
    assert len(indices) >= 2
    batch = again.at(indices)
    assert np.array_equal(examples.images, batch.images.numpy())
    targets = torch.full_like(batch.labels, again.target)
    adversarials = again.attack(again.network, batch.images, batch.labels, targets, indices=batch.indices)
    assert np.array_equal(examples.adversarials, adversarials.numpy())
    assert examples.targets.tolist() == ["cup"] * len(indices)
    assert examples.labels.tolist() == [again.data.class_names[label] for label in batch.labels.tolist()]
    assert len(examples.units) > 0
    for place, (layer, unit) in enumerate(zip(examples.layers.tolist(), examples.units.tolist(), strict=True)):
        assert_masks(examples.masks[:, place], again.masks(batch.images, layer, unit))
        assert_masks(examples.adversarial_masks[:, place], again.masks(adversarials, layer, unit))
        concept = again.found[layer].best[unit]
        assert (examples.concepts[place], examples.categories[place]) == (concept.name, concept.category)


def test_top_images_hold_the_images_and_masks_of_what_was_found(results: Path, again: Again) -> None:
    top = read_top_images(results / "top_images.npz")
    assert sorted(set(top.layers.tolist())) == sorted(LAYERS)
    for place, (layer, unit) in enumerate(zip(top.layers.tolist(), top.units.tolist(), strict=True)):
        found = again.found[layer]
        assert top.indices[place].tolist() == found.top_images[unit].tolist()
        assert top.values[place].tolist() == found.top_values[unit].tolist()
        batch = again.at(top.indices[place].tolist())
        assert np.array_equal(top.images[place], batch.images.numpy())
        assert_masks(top.masks[place], again.masks(batch.images, layer, unit))


def killing(module: str, name: str, call: int, arguments: list[str]) -> str:
    """Return a program that evaluates and kills itself at the ``call``-th call of a function of a module."""
    return f"""
import importlib, os, signal
import evaluate
module = importlib.import_module({module!r})
owner, _, name = {name!r}.rpartition(".")
owner = getattr(module, owner) if owner else module
original, calls = getattr(owner, name), []
def killing(*given, **named):
    calls.append(1)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*given, **named)
setattr(owner, name, killing)
evaluate.main({arguments!r})
"""


@pytest.mark.slow
def test_one_that_is_killed_during_the_dissection_starts_over_and_ends_with_the_same_bytes(
    run: Path, results: Path, tmp_path: Path
) -> None:
    wanted = written(results)
    assert len(wanted) == 4 + 4 + 2 * len(LAYERS)
    config = overlay(tmp_path / "killed.yaml", **SETTINGS)
    arguments = ["--run", str(run), "--config", str(config), *QUIET]
    killed = run / "results" / "killed"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for module, name, call in (
        ("advscope.measures.dissection.threshold_passes", "ThresholdPasses.count", 6),  # in the second pass
        ("advscope.measures.dissection.tally_pass", "TallyPass.count", 3),
        ("advscope.measures.dissection.dissection_files", "write_netdissect_table", 2),  # half of it is written
    ):
        program = killing(module, name, call, arguments)
        ended = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True)
        assert ended.returncode == -9, ended.stderr.decode()[-2000:]
        assert not (killed / "dissection").exists()
        assert not (killed / "summary.json").exists()
    assert any(name.startswith(".dissection") for name in written(killed))
    evaluate.main(arguments)
    assert written(killed) == wanted
    assert sorted(path.name for path in killed.iterdir() if path.name.startswith(".")) == []


def test_files_of_an_earlier_evaluation_disappear(run: Path, results: Path, tmp_path: Path) -> None:
    folder = run / "results" / "replaced"
    shutil.copytree(results, folder)
    assert (folder / "figures").exists()
    one = overlay(tmp_path / "replaced.yaml", layers=["conv1"], examples=0, top_images=0)
    evaluate.main(["--run", str(run), "--config", str(one), *QUIET])
    assert set(written(folder)) == {
        "units.csv",
        "significance.csv",
        "dissection/units.csv",
        "dissection/significance.csv",
        "dissection/concepts.csv",
        "dissection/dissection.json",
        "dissection/layers/conv1.npz",
        "dissection/netdissect/conv1-result.csv",
    }
    with (folder / "units.csv").open(newline="") as file:
        assert {row["layer"] for row in csv.DictReader(file)} == {"conv1"}
    none = overlay(tmp_path / "replaced.yaml")
    evaluate.main(["--run", str(run), "--config", str(none), *QUIET])
    assert written(folder) == {}
    assert not list((folder / "figures").glob("unit*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "cupp"}, r"target='cupp' is none of the run's 10 classes; the nearest are cup.*numbers go from 0"),
        ({"source": "aeroplain"}, r"source='aeroplain' is none of the run's 10 classes; the nearest are "),
        ({"target": 10}, "target=10 is none of the run's 10 classes; the nearest are "),
        ({"source": "cup", "target": "cup"}, r"source and target must be different classes, got \d twice"),
        ({"examples": -1}, "examples must not be negative, got -1"),
        ({"top_images": -1}, "top_images must not be negative, got -1"),
    ],
)
def test_what_is_not_allowed_is_said_before_the_first_step(
    settings: dict[str, Any], message: str, run: Path, tmp_path: Path
) -> None:
    config = overlay(tmp_path / "no.yaml", **settings)
    with pytest.raises(SystemExit, match=message):
        evaluate.main(["--run", str(run), "--config", str(config), *QUIET])
    assert not (run / "results" / "no" / "summary.json").exists()


@pytest.mark.parametrize("shown", [True, False])
def test_progress_is_shown_only_with_the_progress_bar(
    shown: bool, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = overlay(tmp_path / f"progress_{shown}.yaml", layers=["conv1"], draws=1, examples=0, top_images=0)
    bar = f"--trainer.enable_progress_bar={str(shown).lower()}"
    evaluate.main(["--run", str(run), "--config", str(config), "--wandb=off", bar])
    told = "".join(capsys.readouterr())
    for name in ("thresholds, first pass", "thresholds, second pass", "tally"):
        assert (f"Dissecting ({name})" in told) == shown
    assert ("30/30" in told) == shown
