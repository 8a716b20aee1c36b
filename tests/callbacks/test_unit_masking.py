"""The masking monitor: its figures are those of the measure, after a kill and in two processes, too; its errors."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import evaluate
from advscope.attacks import PGD
from advscope.frozen import MicroBatched
from advscope.measures import masking_curve, unit_orders
from advscope.networks import CIFARResNet, UnitMasking, load_weights
from advscope.report import read_summary, read_units, write_units
from advscope.tables import read_masking
from callbacks import UnitMaskingMonitor
from callbacks.kept_outcomes import KeptOutcomes
from callbacks.layer_units import count_units
from callbacks.unit_ranking import ranking_rows
from datamodules import ConceptShapes

ROOT = Path(__file__).resolve().parents[2]
QUIET = ("--wandb=off", "--trainer.enable_progress_bar=false", "--data.init_args.test=20")
CONCEPTS = {"root": None, "train": 1, "val": 1, "test": 20, "eval_batch_size": 8}
PGD2 = {"class_path": "advscope.attacks.PGD", "init_args": {"eps": 0.02, "step_size": 0.01, "steps": 2}}
LAYER = "layer3.0"


def overlay(folder: Path, *, dissect: bool = True, attacks: dict | None = None, **settings) -> Path:
    """Write an overlay that masks units, after a dissection that ranks them."""
    data = {"class_path": "datamodules.ConceptShapes", "init_args": CONCEPTS}
    dissection = {
        "class_path": "callbacks.DissectionMonitor",
        "init_args": {"data": data, "draws": 20, "layers": [LAYER]},
    }
    given = {"layer": LAYER, "attack": PGD2, "numbers": [0, 3, 20], "permutations": 2} | settings
    masking = {"class_path": "callbacks.UnitMaskingMonitor", "init_args": given}
    path = folder / "masking.yaml"
    callbacks = [dissection, masking] if dissect else [masking]
    content = {"model": {"init_args": {"attacks": attacks or {}}}, "trainer": {"callbacks": callbacks}}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tiny run without results."""
    folder = tmp_path_factory.mktemp("masked") / "tiny"
    return Path(shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("results")))


@pytest.fixture(scope="module")
def masked(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of an evaluation that masks units of the tiny run, on which nothing broke in."""
    evaluate.main(["--run", str(run), "--config", str(overlay(tmp_path_factory.mktemp("overlay"))), *QUIET])
    return run / "results" / "masking"


def curve_of(run: Path, masked: Path, shapes_root: Path, images: int):
    """Return the orders of a dissection's units, and what the measure says of them on the first test images."""
    data = ConceptShapes(root=shapes_root, train=96, val=40, test=20, eval_batch_size=7)
    data.setup("test")
    data.max_images = images
    network = CIFARResNet(8, width=8).eval().to(memory_format=torch.channels_last)
    load_weights(network, run / "checkpoints" / "last.ckpt")
    units = read_units(masked / "units.csv")
    orders = unit_orders(torch.tensor(units["sensitivity"]), torch.tensor(units["interpretability"]), 2)

    def without(units):
        return MicroBatched(UnitMasking(network, {LAYER: units}), 16)

    return orders, masking_curve(without, data.test_dataloader(), orders, [0, 3, 20], PGD(0.02, 0.01, 2))


def test_figures_and_rows_are_those_of_the_measure(masked: Path, run: Path, shapes_root: Path) -> None:
    orders, curve = curve_of(run, masked, shapes_root, 20)
    figures = read_summary(masked / "summary.json")["figures"]
    rows = read_masking(masked / "masking.csv")
    assert rows["order"].tolist() == ["sensitive"] * 3 + ["interpretable"] * 3 + ["random"] * 3
    assert rows["masked"].tolist() == [0, 3, 20] * 3
    assert set(rows["layer"]) == {LAYER}
    assert set(rows["attack"]) == {"pgd"}
    assert set(rows["units"]) == {len(orders["sensitive"][0])}
    undefined = figures[f"test/pgd/masking/{LAYER}/units_undefined"]
    assert undefined["value"] == 32 - len(orders["sensitive"][0])
    for order, number, *values in zip(*(rows[name] for name in list(rows)[1:3] + list(rows)[5:]), strict=True):
        point = curve[order][number]
        assert values == pytest.approx([20, *point.clean[:3], *point.robust[:3]], rel=1e-8)
        key = f"test/pgd/masking/{LAYER}/{order}/{number}"
        for name, estimate in (
            ("clean_accuracy", point.clean),
            ("robust_accuracy", point.robust),
            ("clean_difference", point.clean_difference),
            ("robust_difference", point.robust_difference),
        ):
            assert figures[f"{key}/{name}"] == pytest.approx(estimate._asdict(), rel=1e-9)
    # Masking 20 of 32 units does something, and the orders differ.
    assert len({round(value, 6) for value in rows["clean_accuracy"]}) > 1
    assert not (masked / "shards").exists()


def test_the_passes_are_counted(masked: Path, run: Path, tmp_path: Path) -> None:
    """Beyond those of the dissection: for each set of units all images, and what the attack takes."""
    dissection = overlay(tmp_path, numbers=[0])
    evaluate.main(["--run", str(run), "--config", str(dissection), "--name", "only_whole", *QUIET])
    more, fewer = (
        read_summary(run / "results" / name / "summary.json")["passes"] for name in ("masking", "only_whole")
    )
    rows = read_masking(masked / "masking.csv")
    # Of random orders only the mean is written; the two others' backward passes are at most the total.
    right = [round(20 * value) for value in rows["clean_accuracy"][[1, 2, 4, 5]]]
    drawn = [round(40 * value) for value in rows["clean_accuracy"][[7, 8]]]
    assert more["backwards"] - fewer["backwards"] == 2 * (sum(right) + sum(drawn))
    assert more["forwards"] - fewer["forwards"] >= 8 * 20 + 3 * (sum(right) + sum(drawn))


class KilledError(Exception):
    """What ends an evaluation in these tests."""


def test_a_killed_evaluation_goes_on_after_the_last_set(masked, run, tmp_path, monkeypatch) -> None:
    command = ["--run", str(run), "--config", str(overlay(tmp_path)), "--name", "killed", *QUIET]
    kept, write = [], KeptOutcomes.__setitem__

    def until_the_third(self, units, outcome):
        write(self, units, outcome)
        kept.append(units)
        if len(kept) == 3:
            raise KilledError

    monkeypatch.setattr(KeptOutcomes, "__setitem__", until_the_third)
    with pytest.raises(KilledError):
        evaluate.main(command)
    folder = run / "results" / "killed"
    assert len(list(folder.rglob("shards/process_0_of_1/parts/masking_*.pt"))) == 3
    evaluate.main(command)
    assert len(kept) == len(set(kept)) == 9
    for name in ("masking.csv", "units.csv"):
        assert (folder / name).read_bytes() == (masked / name).read_bytes(), name
    one, other = (read_summary(results / "summary.json") for results in (folder, masked))
    for name in ("figures", "counts", "passes"):
        assert repr(one[name]) == repr(other[name]), name
    assert not (folder / "shards").exists()


def test_outcomes_of_other_images_are_made_again(masked, run, tmp_path, monkeypatch) -> None:
    path = overlay(tmp_path, dissect=False, ranking=str(masked / "units.csv"), numbers=[0, 3])
    command = ["--run", str(run), "--config", str(path), "--name", "more", *QUIET]
    write = KeptOutcomes.__setitem__

    def all_but_the_last(self, units, outcome):
        write(self, units, outcome)
        if len(self) == 5:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(KeptOutcomes, "__setitem__", all_but_the_last)
        with pytest.raises(KilledError):
            evaluate.main([*command, "--max_images", "11"])
    evaluate.main(command)
    rows, whole = (read_masking(run / "results" / name / "masking.csv") for name in ("more", "masking"))
    assert set(rows["images"]) == {20}
    same = whole["masked"] < 20
    assert rows["robust_accuracy"].tolist() == whole["robust_accuracy"][same].tolist()


def test_a_ranking_from_a_file_on_the_first_images(masked, run, shapes_root, tmp_path) -> None:
    given = {"ranking": str(masked / "units.csv"), "max_images": 13, "orders": ["random", "sensitive"]}
    path = overlay(tmp_path, dissect=False, **given)
    evaluate.main(["--run", str(run), "--config", str(path), "--name", "from_file", *QUIET])
    found = read_masking(run / "results" / "from_file" / "masking.csv")
    _, curve = curve_of(run, masked, shapes_root, 13)
    assert found["order"].tolist() == ["random"] * 3 + ["sensitive"] * 3
    assert set(found["images"]) == {13}
    expected = [curve[order][number] for order in ("random", "sensitive") for number in (0, 3, 20)]
    assert found["clean_accuracy"] == pytest.approx([point.clean.value for point in expected], rel=1e-8)
    assert found["robust_accuracy"] == pytest.approx([point.robust.value for point in expected], rel=1e-8)


def test_units_without_a_value_are_masked_in_no_order(masked, run, tmp_path) -> None:
    units = read_units(masked / "units.csv")
    units["sensitivity"][4:] = np.nan
    rows = [
        dict(zip(units, row, strict=True)) for row in zip(*(column.tolist() for column in units.values()), strict=True)
    ]
    write_units(tmp_path / "units.csv", rows)
    path = overlay(tmp_path, dissect=False, ranking=str(tmp_path / "units.csv"), permutations=1)
    evaluate.main(["--run", str(run), "--config", str(path), "--name", "undefined", *QUIET])
    found = read_masking(run / "results" / "undefined" / "masking.csv")
    ranked = int((~np.isnan(units["interpretability"][:4])).sum())
    assert set(found["units"]) == {ranked}
    assert (found["images"] == 0).tolist() == [False, ranked < 3, True] * 3
    assert np.isnan(found["robust_accuracy"][found["masked"] == 20]).all()
    figures = read_summary(run / "results" / "undefined" / "summary.json")["figures"]
    assert figures[f"test/pgd/masking/{LAYER}/units_undefined"]["value"] == 32 - ranked


def test_where_time_is_up_masking_is_left_to_the_next_run(masked, run, tmp_path) -> None:
    path = overlay(tmp_path, dissect=False, ranking=str(masked / "units.csv"))
    command = ["--run", str(run), "--config", str(path), "--name", "timed", *QUIET]
    command.append("--data.init_args.eval_batch_size=10")
    evaluate.main([*command, "--max_minutes", "1e-9"])
    folder = run / "results" / "timed"
    assert read_summary(folder / "summary.json")["data"]["complete"] is False
    assert not (folder / "masking.csv").exists()
    evaluate.main(command)
    assert (folder / "masking.csv").read_bytes() == (masked / "masking.csv").read_bytes()


@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(masked: Path, run: Path, tmp_path: Path) -> None:
    arguments = ["--run", str(run), "--config", str(overlay(tmp_path)), "--name", "by_two", *QUIET]
    arguments += ["--trainer.devices=2", "--trainer.strategy=ddp_spawn"]
    script = tmp_path / "two.py"
    script.write_text(f"if __name__ == '__main__':\n    import evaluate\n    evaluate.main({arguments!r})\n")
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin", "WANDB_MODE": "disabled"}
    subprocess.run([sys.executable, str(script)], check=True, env=environment, capture_output=True, cwd=ROOT)
    two = run / "results" / "by_two"
    assert json.loads((two / "timing.json").read_text())["processes"] == 2
    assert (two / "masking.csv").read_bytes() == (masked / "masking.csv").read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"dissect": False},
            "nothing ranks the units; put a callbacks.DissectionMonitor before it, or name a units.csv",
        ),
        ({"layer": "layer3.9"}, "has no layer 'layer3.9'; the nearest names are"),
        (
            {"layer": "layer2.0", "numbers": [0]},
            "the DissectionMonitor has no layer layer2.0; name it among its layers, which are layer3.0",
        ),
        ({"numbers": [0, 33]}, "numbers ask for 33 masked units, and layer layer3.0 has 32; leave out what is above"),
        ({"numbers": [3]}, "numbers of masked units must rise from 0"),
        ({"orders": ["sensible"]}, "orders must be of sensitive, interpretable, random, got 'sensible'"),
        ({"permutations": 0}, "permutations must be at least 1, got 0"),
        ({"ranking": "/nowhere/units.csv"}, "/nowhere/units.csv does not exist; make it anew"),
    ],
)
def test_what_is_not_allowed_is_said_before_the_first_step(settings, message, run, tmp_path) -> None:
    with pytest.raises(SystemExit, match=message):
        evaluate.main(["--run", str(run), "--config", str(overlay(tmp_path, **settings)), "--name", "no", *QUIET])
    assert not (run / "results" / "no" / "summary.json").exists()


def test_a_ranking_of_other_units_is_refused(masked, run, tmp_path) -> None:
    units = read_units(masked / "units.csv")
    rows = [
        dict(zip(units, row, strict=True)) for row in zip(*(column.tolist() for column in units.values()), strict=True)
    ]
    for kept, layer, message in (
        (
            rows[:31],
            LAYER,
            "ranks 31 units of layer layer3.0, numbered 0 to 30, and this network's has the units 0 to 31",
        ),
        (rows, "conv1", "ranks no unit of layer conv1; dissect it, or name one that is there: layer3.0"),
    ):
        write_units(tmp_path / "units.csv", kept)
        path = overlay(tmp_path, dissect=False, ranking=str(tmp_path / "units.csv"), layer=layer, numbers=[0])
        with pytest.raises(SystemExit, match=message):
            evaluate.main(["--run", str(run), "--config", str(path), "--name", "no", *QUIET])


def test_sensitivity_over_all_images_ranks_where_none_is_attacked() -> None:
    rows = [
        {"layer": "a", "unit": unit, "sensitivity": np.nan, "sensitivity_all": value, "interpretability": 1 - value}
        for unit, value in ((2, 0.25), (0, 0.5), (1, 1 / 3))
    ]
    for over, expected in (("attacked", [np.nan] * 3), ("all", [0.5, 0.333333333, 0.25])):
        sensitivity, interpretability = ranking_rows([*rows, rows[0] | {"layer": "b"}], "a", 3, over)
        assert sensitivity.tolist() == pytest.approx(expected, nan_ok=True, abs=1e-15)
        assert interpretability.tolist() == [0.5, 0.666666667, 0.75]


def test_its_name_in_log_keys_and_what_it_is_not_made_of() -> None:
    with pytest.raises(ValueError, match='sensitivity must be "attacked" or "all", got \'none\''):
        UnitMaskingMonitor("conv1", sensitivity="none")
    assert UnitMaskingMonitor("conv1").attack_name == "pgd"
    assert UnitMaskingMonitor("conv1").is_stale("test/pgd/masking/conv1/random/0/clean_accuracy")


def test_units_are_counted_by_a_blank_image_and_tokens_refused() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), torch.nn.Flatten(2), torch.nn.Flatten(), torch.nn.Linear(96, 4)
    )
    network.train()
    found = MicroBatched(network, 4)
    assert [count_units(found, layer, (6, 6)) for layer in ("0", "2", "3")] == [6, 96, 4]
    assert network.training
    assert found.forwards == 0
    with pytest.raises(ValueError, match=r"layer 1 must return \(N, K\) or \(N, K, h, w\), got \(1, 6, 16\)"):
        count_units(found, "1", (6, 6))
