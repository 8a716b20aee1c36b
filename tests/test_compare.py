"""Tests of ``python compare.py``."""

import importlib.util
from pathlib import Path

import pytest

import compare
from advscope.report import compare as compared
from advscope.report import to_csv, to_markdown


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    path = Path(__file__).parent / "report" / "results.py"
    specification = importlib.util.spec_from_file_location("compare_results", path)
    assert specification is not None
    assert specification.loader is not None
    results = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(results)
    return [str(results.write_run(tmp_path / name, name, seed=seed)) for seed, name in enumerate(("natural", "madry"))]


def test_prints_the_main_figures(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(runs)

    text = capsys.readouterr().out
    assert "pgd20/robust_accuracy" in text
    assert "layer10/relative" in text
    assert "layer10/raw" not in text


def test_prints_all_figures(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    compare.main([*runs, "--all"])

    assert "layer10/raw" in capsys.readouterr().out


def test_writes_files(runs: list[str], tmp_path: Path) -> None:
    table, page = tmp_path / "out" / "table.csv", tmp_path / "out" / "table.md"

    compare.main([*runs, "--csv", str(table), "--markdown", str(page)])

    comparison = compared(runs)
    assert table.read_text() == to_csv(comparison)
    assert page.read_text() == to_markdown(comparison)


def test_a_missing_run_ends_with_one_line(runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        compare.main([*runs, str(tmp_path / "missing")])

    assert str(caught.value).startswith("error: ")
    assert "python evaluate.py --run" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        compare.main(["--help"])

    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in ("RUN [RUN ...]", "--evaluation NAME", "--markdown FILE", "(default: standard)", "95% intervals"):
        assert part in text
