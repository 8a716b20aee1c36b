"""Tests of ``python compare.py``."""

import importlib.util
from pathlib import Path

import pytest

import compare
from advscope.report import compare as compared
from advscope.report import to_csv, to_html, to_markdown


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


def test_out_writes_what_the_suffix_says(runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [tmp_path / "out" / f"table.{suffix}" for suffix in ("html", "csv", "md")]

    compare.main([*runs, "--all", "--wandb", "off", *(word for name in names for word in ("--out", str(name)))])

    comparison = compared(runs)
    expected = [to_html(runs), to_csv(comparison), to_markdown(comparison, True)]
    assert [name.read_text(encoding="utf-8") for name in names] == expected
    assert not (tmp_path / "out" / "wandb").exists()
    said = capsys.readouterr().out
    assert all(f"wrote {name}\n" in said for name in names)


def test_an_unknown_suffix_ends_before_anything_is_written(runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        compare.main([*runs, "--out", str(tmp_path / "a.csv"), "--out", str(tmp_path / "a.pdf")])

    assert str(caught.value) == f"error: --out {tmp_path / 'a.pdf'} must end in one of .html, .csv, .md; name it so"
    assert not (tmp_path / "a.csv").exists()


def test_a_damaged_file_ends_with_one_line_and_no_page(runs: list[str], tmp_path: Path) -> None:
    (Path(runs[1]) / "metrics.jsonl").write_text("{")
    with pytest.raises(SystemExit) as caught:
        compare.main([*runs, "--wandb", "off", "--out", str(tmp_path / "a.html"), "--out", str(tmp_path / "a.csv")])

    assert "metrics.jsonl, line 1 is no epoch" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("a.*"))


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
    for part in (
        "RUN [RUN ...]",
        "--evaluation NAME",
        "--markdown FILE",
        "--out FILE",
        ".html, a page",
        "--wandb {auto,online,offline,off}",
        "(default: standard)",
        "95% intervals",
    ):
        assert part in text
