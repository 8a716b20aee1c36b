"""Tests of a comparison on W&B, read back from the offline run."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import compare


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    path = Path(__file__).parent.parent / "report" / "results.py"
    specification = importlib.util.spec_from_file_location("logged_results", path)
    assert specification is not None
    assert specification.loader is not None
    results = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(results)
    found = [results.write_run(tmp_path / name, name, seed=seed) for seed, name in enumerate(("natural", "madry"))]
    (found[0] / "run.json").write_text(json.dumps({"wandb": {"project": "advscope", "id": "abc"}}))
    return found


@pytest.mark.parametrize("mode", ["auto", "offline"])
def test_the_page_is_a_run_of_its_own(
    mode: str, runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "nobody is logged in"))
    page = tmp_path / "out" / "page.html"

    compare.main([*map(str, runs), "--out", str(page), "--wandb", mode])

    (folder,) = (page.parent / "wandb").glob("offline-run-*")
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--summary", "--json", str(folder)]
    read = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (read["project"], read["name"], read["state"]) == ("advscope", "natural, madry/standard", "finished")
    assert [(run["name"], run["folder"], run["wandb"]) for run in read["config"]["runs"]] == [
        ("natural", runs[0].as_posix(), {"project": "advscope", "id": "abc"}),
        ("madry", runs[1].as_posix(), None),
    ]
    logged = read["summary"]["comparison"]
    assert logged["_type"] == "html-file"
    assert logged["sha256"] == hashlib.sha256(page.read_bytes()).hexdigest()
    assert (folder / "files" / logged["path"]).read_bytes() == page.read_bytes()
    # The inspector does not show the job's type: in the record it is a field of seven letters.
    (record,) = folder.glob("*.wandb")
    assert b"\x07compare" in record.read_bytes()


def test_without_a_page_or_with_wandb_off_nothing_is_logged(runs: list[Path], tmp_path: Path) -> None:
    compare.main([*map(str, runs), "--out", str(tmp_path / "table.csv")])
    compare.main([*map(str, runs), "--out", str(tmp_path / "page.html"), "--wandb", "off"])

    assert not (tmp_path / "wandb").exists()
