"""A dissection as files: complete, readable, the same bytes each time, whole or not there, whenever it is killed."""

import csv
import json
import math
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from advscope.measures import Dissection, DissectionSettings, dissect
from advscope.tables import read_netdissect_table, read_significances, read_units
from tests.measures.dissection.small import CONCEPTS, LAYERS, Small, annotated, attack

FILES = {
    "units.csv",
    "significance.csv",
    "concepts.csv",
    "dissection.json",
    "netdissect/act1-result.csv",
    "netdissect/act2-result.csv",
    "layers/act1.npz",
    "layers/act2.npz",
}


def made(quantile: float = 0.2) -> Dissection:
    settings = DissectionSettings(quantile=quantile, draws=20, union="category")
    return dissect(Small().eval(), [annotated()], LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings)


@pytest.fixture(scope="module")
def found() -> Dissection:
    return made()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_files_hold_all_that_was_found(found: Dissection, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "on the way" / "dissection"
    found.save(folder)
    assert set(files(folder)) == FILES
    assert os.listdir(folder.parent) == ["dissection"]
    units = read_units(folder / "units.csv")
    rows = found.rows()
    assert len(units["unit"]) == len(rows) == 14
    for name, column in units.items():
        wanted = [row[name] for row in rows]
        if column.dtype == np.float64:
            assert column == pytest.approx(np.array(wanted, dtype=float), rel=1e-8, nan_ok=True), name
        else:
            assert column.tolist() == wanted, name
    significance = read_significances(folder / "significance.csv")
    assert significance["layer"].tolist() == [row["layer"] for row in found.significance]
    assert significance["top"].tolist() == [row["top"] for row in found.significance]
    with (folder / "concepts.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [[str(one.number), one.name, one.category] for one in CONCEPTS]
    for name, layer in found.items():
        with np.load(folder / "layers" / f"{name}.npz", allow_pickle=False) as arrays:
            for key, value in layer._asdict().items():
                if isinstance(value, torch.Tensor):
                    assert np.array_equal(arrays[key], value.numpy(), equal_nan=value.is_floating_point()), key
                    assert arrays[key].dtype == value.numpy().dtype, key
            for key in ("sensitivity_estimates", "sensitivity_all", "best_iou"):
                wanted = [(one.value, one.low, one.high) for one in getattr(layer, key)]
                assert np.array_equal(arrays[key], np.array(wanted), equal_nan=True)
        table = read_netdissect_table(folder / "netdissect" / f"{name}-result.csv")
        # By its own union, that of the category, which is the dissection's here.
        for unit, score in zip(table["unit"], table["score"], strict=True):
            assert score == pytest.approx(layer.best_iou[unit - 1].value, abs=1e-15)
        for place, concept in enumerate(CONCEPTS):
            here = table[f"{concept.category}-label"] == concept.name
            for unit, met in zip(table["unit"][here], table[f"{concept.category}-intersect"][here], strict=True):
                assert met == int(layer.intersections[unit - 1, place])
    about = json.loads((folder / "dissection.json").read_text())
    assert about["settings"]["union"] == "category"
    assert about["mask_size"] == [4, 4]
    for name, layer in found.items():
        assert about["layers"][name]["counts"] == layer.counts
        for key, figure in layer.figures.items():
            written = about["layers"][name]["figures"][key]
            for field, value in figure._asdict().items():
                assert written[field] == (None if math.isnan(value) else value), (key, field)


def test_the_bytes_are_the_same_each_time(found: Dissection, tmp_path: Path) -> None:
    found.save(tmp_path / "one")
    time.sleep(2.1)  # times in archives are in steps of two seconds
    made().save(tmp_path / "other")
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_an_earlier_dissection_is_replaced_wholly(found: Dissection, tmp_path: Path) -> None:
    folder = tmp_path / "dissection"
    made(0.4).save(folder)
    (folder / "layers" / "gone.npz").write_bytes(b"of an earlier network")
    found.save(folder)
    assert set(files(folder)) == FILES
    found.save(tmp_path / "other")
    assert files(folder) == files(tmp_path / "other")
    (tmp_path / "empty").mkdir()
    found.save(str(tmp_path / "empty"))
    assert files(tmp_path / "empty") == files(folder)
    assert sorted(os.listdir(tmp_path)) == ["dissection", "empty", "other"]


def test_a_folder_of_something_else_is_refused_and_kept(found: Dissection, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.md").write_text("irreplaceable")
    message = "is there already and holds no dissection: name another folder$"
    with pytest.raises(FileExistsError, match=message):
        found.save(folder)
    assert files(folder) == {"chapter.md": b"irreplaceable"}
    with pytest.raises(FileExistsError, match=message):
        found.save(folder / "chapter.md")
    assert os.listdir(tmp_path) == ["thesis"]


def test_a_failure_leaves_what_was_there(found: Dissection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "dissection"
    found.save(folder)
    before = files(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        made(0.4).save(folder)
    assert files(folder) == before
    assert os.listdir(tmp_path) == ["dissection"]


def killed(found: Dissection, folder: Path, moment: int) -> bool:
    """Save in a child that is killed before it opens, renames or makes its ``moment``-th file or folder."""
    child = os.fork()
    if child == 0:
        left = [moment]

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            writes = event == "open" and arguments[1] is not None and set(str(arguments[1])) & set("wax+")
            if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        found.save(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
@pytest.mark.parametrize("earlier", [False, True])
def test_whenever_it_is_killed_the_folder_is_whole_or_not_there(
    earlier: bool, found: Dissection, tmp_path: Path
) -> None:
    found.save(tmp_path / "wanted")
    made(0.4).save(tmp_path / "earlier")
    wanted, old = files(tmp_path / "wanted"), files(tmp_path / "earlier")
    states, moment = [], 0
    while True:
        moment += 1
        place = tmp_path / "place"
        place.mkdir()
        folder = place / "dissection"
        if earlier:
            shutil.copytree(tmp_path / "earlier", folder)
        alive = not killed(found, folder, moment)
        if folder.exists():
            state = files(folder)
            assert state in ((wanted, old) if earlier else (wanted,)), moment
            states.append("new" if state == wanted else "old")
        else:
            # The moment between two names: the earlier one is there whole, under a hidden name.
            if earlier:
                (kept,) = place.glob(".dissection.*.replaced")
                assert files(kept) == old
            states.append("none")
        # Saved again, nothing of it is left.
        found.save(folder)
        assert files(folder) == wanted
        assert os.listdir(place) == ["dissection"]
        shutil.rmtree(place)
        if alive:
            break
    assert moment > 20
    assert states[-1] == "new"
    assert states[0] == ("old" if earlier else "none")
    assert states.count("none") == (1 if earlier else states.index("new"))
