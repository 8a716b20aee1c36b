"""The dissection monitor: its figures are those of the measure, in one process and two; what it writes and refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import evaluate
from advscope.attacks import PGD
from advscope.frozen import MicroBatched
from advscope.measures import DissectionSettings, dissect
from advscope.networks import CIFARResNet, load_weights
from advscope.report import read_summary, read_units
from callbacks import DissectionMonitor
from cli.trainer import Trainer
from datamodules import ConceptShapes
from lightning_modules import NaturalClassifier

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"root": None, "train": 1, "val": 1, "test": 30, "eval_batch_size": 8}
QUIET = ("--wandb=off", "--trainer.enable_progress_bar=false")


def overlay(folder: Path, **settings) -> Path:
    """Write an overlay that dissects, and does nothing else."""
    data = {"class_path": "datamodules.ConceptShapes", "init_args": SETTINGS}
    given = {"data": data, "draws": 200, "layers": ["conv1", "layer3.0"]} | settings
    monitor = {"class_path": "callbacks.DissectionMonitor", "init_args": given}
    path = folder / "dissection.yaml"
    path.write_text(yaml.safe_dump({"model": {"init_args": {"attacks": {}}}, "trainer": {"callbacks": [monitor]}}))
    return path


@pytest.fixture(scope="module")
def dissected(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of an evaluation that dissects the tiny run."""
    path = overlay(tmp_path_factory.mktemp("overlay"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE")
        evaluate.main(["--run", str(tiny_run), "--config", str(path), "--wandb=offline", QUIET[1]])
    return tiny_run / "results" / "dissection"


def test_figures_and_units_are_those_of_the_measure(dissected: Path, tiny_run: Path) -> None:
    data = ConceptShapes(**SETTINGS)
    data.setup("test")
    network = CIFARResNet(8, width=8).eval().to(memory_format=torch.channels_last)
    load_weights(network, tiny_run / "checkpoints" / "last.ckpt")
    found = dissect(
        MicroBatched(network, 16),
        data.test_dataloader(),
        ["conv1", "layer3.0"],
        concepts=data.concepts,
        attack=PGD(4 / 255, 1 / 255, 10),
        settings=DissectionSettings(draws=200),
    )
    summary = read_summary(dissected / "summary.json")
    units = read_units(dissected / "units.csv")
    assert list(dict.fromkeys(units["layer"])) == ["conv1", "layer3.0"]
    for layer, result in found.items():
        for quantity, estimate in result.figures.items():
            written = summary["figures"][f"test/pgd/dissection/{layer}/{quantity}"]
            assert written == pytest.approx(estimate._asdict(), rel=1e-9, nan_ok=True), quantity
        here = units["layer"] == layer
        assert units["concept"][here].tolist() == [concept.name for concept in result.best]
        assert units["iou"][here] == pytest.approx([one.value for one in result.best_iou], rel=1e-7)
        assert units["sensitivity"][here] == pytest.approx(result.sensitivity.tolist(), rel=1e-7)
        assert summary["counts"]["pgd/dissection"] == result.counts
    drawn = {path.stem for path in (dissected / "figures").glob("*.png")}
    assert {"units_sensitivity", "units_detectors"} <= drawn


def test_units_and_their_figures_go_to_wandb(dissected: Path) -> None:
    (folder,) = (dissected / "wandb").glob("offline-run-*")
    media = folder / "files" / "media"
    (table,) = (json.loads(path.read_text()) for path in (media / "table").glob("units_*.table.json"))
    units = read_units(dissected / "units.csv")
    assert len(table["data"]) == len(units["unit"])
    place = table["columns"].index("concept")
    assert [row[place] for row in table["data"]] == units["concept"].tolist()
    drawn = {path.name.rsplit("_", 2)[0] for path in (media / "images" / "figures").glob("*.png")}
    assert {"units_sensitivity", "units_detectors"} <= drawn
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--summary", "--json", str(folder)]
    logged = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["summary"]
    figures = read_summary(dissected / "summary.json")["figures"]
    assert logged["test/pgd/dissection/conv1/detectors"] == figures["test/pgd/dissection/conv1/detectors"]["value"]


def test_two_processes_give_the_bits_of_one(dissected: Path, tiny_run: Path, tmp_path: Path) -> None:
    arguments = ["--run", str(tiny_run), "--config", str(overlay(tmp_path)), "--name", "dissected_by_two", *QUIET]
    arguments += ["--trainer.devices=2", "--trainer.strategy=ddp_spawn"]
    script = tmp_path / "two.py"
    script.write_text(f"if __name__ == '__main__':\n    import evaluate\n    evaluate.main({arguments!r})\n")
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "WANDB_MODE": "disabled"}
    subprocess.run([sys.executable, str(script)], check=True, env=environment, capture_output=True, cwd=ROOT)
    two = tiny_run / "results" / "dissected_by_two"
    assert json.loads((two / "timing.json").read_text())["processes"] == 2
    assert (two / "units.csv").read_bytes() == (dissected / "units.csv").read_bytes()
    one, other = (read_summary(folder / "summary.json") for folder in (dissected, two))
    keys = [key for key in one["figures"] if "/dissection/" in key]
    assert keys
    for key in keys:
        assert repr(one["figures"][key]) == repr(other["figures"][key]), key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_images": 31}, "max_images=31 exceeds the 30 images of ConceptShapes; lower it"),
        ({"layers": ["layer9"]}, "has no layer 'layer9'; the nearest names are"),
        ({"quantile": 1.5}, r"quantile must be in \(0, 1\), got 1.5"),
        ({"data": {"class_path": "datamodules.CIFAR10"}}, "CIFAR10 carries no concepts; use datamodules.Broden or"),
        (
            {"data": {"class_path": "datamodules.Broden", "init_args": {"root": "/nowhere"}}},
            "/nowhere",
        ),
    ],
)
def test_what_is_not_allowed_is_said_before_the_first_step(settings, message, tiny_run, tmp_path) -> None:
    with pytest.raises(SystemExit, match=message):
        evaluate.main(["--run", str(tiny_run), "--config", str(overlay(tmp_path, **settings)), "--name", "no", *QUIET])
    assert not (tiny_run / "results" / "no" / "summary.json").exists()


def test_fewer_images_are_the_first_ones(tiny_run: Path, tmp_path: Path) -> None:
    """A limit that is no multiple of the batch size gives what data of that size give."""
    limited = overlay(tmp_path, max_images=11)
    evaluate.main(["--run", str(tiny_run), "--config", str(limited), "--name", "limited", *QUIET])
    data = {"class_path": "datamodules.ConceptShapes", "init_args": SETTINGS | {"test": 11}}
    fewer = overlay(tmp_path, data=data)
    evaluate.main(["--run", str(tiny_run), "--config", str(fewer), "--name", "fewer", *QUIET])
    one, other = (tiny_run / "results" / name / "units.csv" for name in ("limited", "fewer"))
    assert one.read_bytes() == other.read_bytes()


def test_pictures_of_other_classes_are_attacked_from_the_prediction() -> None:
    """The class numbers of other data say nothing to a network, and may not even exist in it."""

    class Others(ConceptShapes):
        class_names = ("first", "second", "third", "fourth")

        def load(self, split):
            loaded = super().load(split)
            return loaded._replace(labels=loaded.labels % 4)

    monitor = DissectionMonitor(ConceptShapes(**SETTINGS), layers=["layer3.0"], draws=1)
    module = NaturalClassifier(CIFARResNet(8, num_classes=4, width=8))
    trainer = Trainer(callbacks=[monitor], accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.test(module, Others(**SETTINGS), verbose=False)
    counts = monitor.counts["pgd/dissection"]
    assert counts["ineligible"] == 0
    assert counts["attacked"] + counts["failed"] == SETTINGS["test"]


def test_two_monitors_are_refused() -> None:
    monitors = [DissectionMonitor(ConceptShapes(**SETTINGS), quantile=quantile) for quantile in (0.05, 0.005)]
    trainer = Trainer(callbacks=monitors, accelerator="cpu", logger=False, enable_progress_bar=False)
    with pytest.raises(
        ValueError, match=r"two monitors of one kind in trainer.callbacks \(DissectionMonitor\): keep one of them"
    ):
        trainer.test(NaturalClassifier(CIFARResNet(8, width=8)), ConceptShapes(**SETTINGS), verbose=False)


def test_a_validation_of_its_own_is_looked_at() -> None:
    monitor = DissectionMonitor(ConceptShapes(**SETTINGS), layers=["layer3.0"], draws=1, every_n_epochs=2)
    trainer = Trainer(callbacks=[monitor], accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(NaturalClassifier(CIFARResNet(8, width=8)), ConceptShapes(**SETTINGS), verbose=False)
    assert "val/pgd/dissection/layer3.0/detectors" in monitor.estimates
