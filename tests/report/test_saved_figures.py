"""Tests of how figures are planned, drawn and written: the same bytes each time, PNG and SVG, and by the command."""

import hashlib
import importlib
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from advscope.report import draw_figures, read_columns, save_figure, save_figures
from advscope.report.__main__ import main
from advscope.report.accuracy_figure import accuracy_figure
from advscope.report.correlations_figure import correlations_figure
from advscope.report.figure_plan import figure_plan, read_evidence
from advscope.report.image_rows import FIXED
from advscope.report.score_figure import score_figure

ROOT = Path(__file__).parents[2]
FEW = ("accuracy", "bias", "is", "fgsm_examples", "fgsm_correlation")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_plan_holds_every_figure_that_the_results_allow(runs: tuple[Path, Path]) -> None:
    kinds = ("examples", "maps", "ratio", "cells", "correlation")
    plan = figure_plan(read_evidence(runs[0] / "results/standard"))
    assert list(plan) == [
        "accuracy",
        "bias",
        "is",
        *(f"{attack}_{kind}" for attack in ("fgsm", "pgd20") for kind in kinds),
    ]


def test_the_plan_of_a_full_evaluation(runs: tuple[Path, Path], results: ModuleType) -> None:
    evidence = read_evidence(runs[0] / "results/standard")
    arrays = results.make_arrays(seed=0, attacks=("cw", "cw_s1", "pgd@ring", "pgd@star"))
    arrays |= {
        name.replace("cw/is/cam_", "cw/is/gradcam_"): array for name, array in arrays.items() if "cw/is/" in name
    }
    n = len(evidence.columns["index"])
    more = ["is/score_clean_at_60", "is/score_clean_noise", "psr/kendall_score_l2"]
    columns = dict(evidence.columns) | {name: np.ones(n) for name in more}
    sizes = {f"test/{attack}/size/l2": {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2} for attack in ("cw", "cw_s1")}
    plan = figure_plan(evidence._replace(arrays=arrays, columns=columns, figures=sizes))
    assert list(plan)[:6] == ["refined", "is", "is_quantiles", "is_controls", "correlations", "targets"]
    assert {"cw_refined", "cw_maps", "cw_maps_gradcam", "pgd@ring_examples"} < plan.keys()


def test_the_explainer_and_its_quantile_are_those_of_the_settings(runs: tuple[Path, Path]) -> None:
    evidence = read_evidence(runs[0] / "results/standard")
    monitor = {
        "class_path": "callbacks.InterpretabilityMonitor",
        "init_args": {"quantile": 0.9, "explainer": {"class_path": "advscope.explainers.GradCAM"}},
    }
    columns = dict(evidence.columns)
    columns["is/score_clean_at_60"] = columns["is/score_clean"]
    settings = {"trainer": {"callbacks": [{"class_path": "callbacks.Other"}, monitor]}}
    (axis,) = figure_plan(evidence._replace(settings=settings, columns=columns))["is_quantiles"]().axes
    np.testing.assert_array_equal(axis.lines[0].get_xdata(), [60, 90])
    assert axis.get_title() == "F(x, t0), GradCAM"


def test_png_and_svg_are_the_same_bytes_in_every_draw_and_process(runs: tuple[Path, Path]) -> None:
    folder = runs[0] / "results/standard"
    paths = draw_figures(folder, FEW, examples=1)
    assert [path.name for path in paths] == [f"{name}.png" for name in FEW]
    first = digests(folder / "figures")
    assert len(first) == 2 * len(FEW)

    draw_figures(folder, FEW, examples=1)
    assert digests(folder / "figures") == first

    command = [sys.executable, "-m", "advscope.report", str(folder), "--examples", "1", "--only", *FEW]
    # Sets and dictionaries of strings come in another order in a process with another seed.
    environment = os.environ | {"PYTHONHASHSEED": "7", "MPLBACKEND": "svg", "TZ": "Asia/Tokyo"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=100)
    assert digests(folder / "figures") == first


def test_a_picture_is_a_thousand_pixels_wide_and_an_svg_is_whole(runs: tuple[Path, Path]) -> None:
    folder = runs[0] / "results/standard"
    (path,) = draw_figures(folder, ["accuracy"])
    with Image.open(path) as image:
        assert image.width == 936  # 7.2 inches at 130 dots
    text = path.with_suffix(".svg").read_text()
    assert xml.etree.ElementTree.fromstring(text).tag.endswith("}svg")
    # Letters are outlines, and nothing tells when it was drawn.
    assert "<text" not in text
    assert not re.search(r"dc:date|\b20\d\d-\d\d-\d\d", text)


def test_formats_are_chosen_and_others_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    figures = {"one": accuracy_figure({"run": read_evidence(runs[0] / "results/standard").figures})}
    assert save_figures(tmp_path, figures, ["svg"]) == [tmp_path / "one.svg"]
    assert [path.name for path in tmp_path.glob("one*")] == ["one.svg"]
    with pytest.raises(ValueError, match="formats must be among png, svg, got pdf"):
        save_figures(tmp_path, figures, ["pdf"])
    with pytest.raises(ValueError, match=r"written as .png or .svg, got .*one.jpg; choose one of the two"):
        save_figure(figures["one"], tmp_path / "one.jpg")


def test_the_command_draws_what_is_asked_for(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs[0] / "results/standard"
    assert main([str(folder), "--only", "accur*", "--format", "svg"]) == 0
    assert capsys.readouterr().out == f"{folder}/figures/accuracy.svg\n"
    assert [path.name for path in (folder / "figures").iterdir()] == ["accuracy.svg"]
    assert main([str(folder), "--only", "accuracy"]) == 0
    assert capsys.readouterr().out == f"{folder}/figures/accuracy.{{png,svg}}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "allows no figure 'nothing'; it allows accuracy, bias, is, fgsm_examples"),
        (["--examples", "0"], "examples must be at least 1, got 0"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(runs[0] / "results/standard"), *arguments]) == 1
    found = capsys.readouterr().err
    assert message in found
    assert found.count("\n") == 1
    assert not (runs[0] / "results/standard/figures").exists()


def test_the_command_names_a_folder_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert f"error: {tmp_path} holds no summary.json: name the folder RUN/results/NAME" in capsys.readouterr().err


def test_the_command_names_the_evaluations_of_a_run(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(runs[0])]) == 1
    told = capsys.readouterr().err
    assert told == f"error: {runs[0]} is a run, not an evaluation: name one of {runs[0] / 'results/standard'}\n"


def test_the_command_tells_an_evaluation_that_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shards").mkdir()
    assert main([str(tmp_path)]) == 1
    assert f"{tmp_path} is not finished: the same evaluate.py command goes on" in capsys.readouterr().err


def test_figures_of_a_large_table_take_seconds() -> None:
    """Forty thousand rows cost what their columns cost; a loop over rows would take minutes."""
    random, n = np.random.default_rng(0), 40_000
    columns: dict[str, np.ndarray] = {name: np.zeros(n, dtype=int) for name in FIXED}
    columns |= {"attack": np.repeat([f"attack{number}" for number in range(8)], n // 8), "attacked": np.ones(n, bool)}
    for name in ("is/score_clean", "is/score_adversarial", "is/chance_clean", "is/chance_adversarial"):
        columns[name] = random.random(n)
    for effect in ("suppression", "promotion", "score"):
        columns |= {f"psr/{name}_{effect}_l2": random.random(n) for name in ("pearson", "kendall")}
    started = time.process_time()
    score_figure(columns)
    correlations_figure(columns)
    assert time.process_time() - started < 5


def test_rows_are_read_once(runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    # The package's attribute of that name is the function.
    module = importlib.import_module("advscope.report.figure_plan")
    monkeypatch.setattr(module, "read_columns", lambda path: read.append(path) or read_columns(path))
    draw_figures(runs[0] / "results/standard", ["accuracy", "is"], formats=["png"])
    assert read == [runs[0] / "results/standard/images.csv"]
