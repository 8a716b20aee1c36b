"""Tests of figures that show several runs, and of the command that draws them."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from advscope.report import load_examples, save_examples
from advscope.report.__main__ import main
from advscope.report.figure_plan import read_evidence
from advscope.report.run_figures import draw_run_figures, run_names, run_plan


@pytest.fixture
def folders(runs: tuple[Path, Path], dissected: ModuleType) -> list[str]:
    """Two evaluations of the same images, dissected."""
    made = [run / "results/standard" for run in runs]
    shared = load_examples(made[0] / "arrays.npz")
    for seed, folder in enumerate(made):
        dissected.write_dissection(folder, seed)
        save_examples(folder / "arrays.npz", shared | dissected.make_activations(shared, seed))
    return [str(folder) for folder in made]


def test_runs_are_named_by_their_folders(tmp_path: Path) -> None:
    assert run_names(["runs/a/results/x", "runs/b/results/x"]) == ["a", "b"]
    assert run_names(["runs/a/results/x", "runs/a/results/y"]) == ["a/x", "a/y"]
    assert run_names(["one/a/results/x", "two/a/results/x"]) == ["one/a/results/x", "two/a/results/x"]


def test_the_plan_holds_what_two_runs_allow(folders: list[str]) -> None:
    runs = {name: read_evidence(folder) for name, folder in zip(("natural", "robust"), folders, strict=True)}
    names = ["accuracy", "bias", "units_detectors", "units_significance", "masking", "pgd20_activation_panels"]
    assert list(run_plan(runs)) == names
    one = {
        "natural": runs["natural"],
        "robust": runs["robust"]._replace(unit=runs["robust"].unit._replace(masking=None)),
    }
    assert list(run_plan(one)) == [name for name in names if name != "masking"]
    assert not run_plan({"natural": runs["natural"]})


def test_bias_has_a_line_for_each_run_and_attack(folders: list[str]) -> None:
    runs = {name: read_evidence(folder) for name, folder in zip(("natural", "robust"), folders, strict=True)}
    figure = run_plan(runs)["bias"]()
    (legend,) = figure.legends
    expected = [f"{run}, {attack}" for run in ("natural", "robust") for attack in ("fgsm", "pgd20")]
    assert [text.get_text() for text in legend.get_texts()] == expected
    for line, name in zip(figure.axes[0].lines, expected, strict=True):
        run, attack = name.split(", ")
        layers = ("stem", "layer2", "layer10", "fc")
        values = [runs[run].figures[f"test/{attack}/bias/{layer}/relative"]["value"] for layer in layers]  # type: ignore[index]
        np.testing.assert_allclose(line.get_ydata(), values)


def test_runs_that_kept_other_images_have_no_activation_panels(folders: list[str], results: ModuleType) -> None:
    arrays = load_examples(Path(folders[1]) / "arrays.npz")
    other = {name: array for name, array in arrays.items() if "activations" in name}
    save_examples(Path(folders[1]) / "arrays.npz", results.make_arrays(99) | other)
    runs = {name: read_evidence(folder) for name, folder in zip(("natural", "robust"), folders, strict=True)}
    assert "pgd20_activation_panels" not in run_plan(runs)


def test_the_command_draws_several_runs_into_a_folder(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "figures"
    names = ["masking", "pgd20_*"]
    assert main([*folders, "--output", str(output), "--only", *names, "--format", "png"]) == 0
    assert capsys.readouterr().out == f"{output}/masking.png\n{output}/pgd20_activation_panels.png\n"
    first = {path.name: path.read_bytes() for path in output.iterdir()}
    assert main([*folders, "--output", str(output), "--only", *names, "--format", "png"]) == 0
    assert {path.name: path.read_bytes() for path in output.iterdir()} == first
    # Nothing is written beside the results.
    assert not any((Path(folder) / "figures").exists() for folder in folders)


def test_the_command_writes_one_runs_figures_elsewhere_if_asked(folders: list[str], tmp_path: Path) -> None:
    assert main([folders[0], "--output", str(tmp_path / "here"), "--only", "masking", "--format", "svg"]) == 0
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["masking.svg"]
    assert not (Path(folders[0]) / "figures").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "several RESULTS need a folder of their own for their figures: add --output FOLDER"),
        (["--output", "OUT", "--only", "is"], "allows no figure 'is'; it allows accuracy, bias"),
        (["--output", "OUT", "--examples", "0"], "examples must be at least 1, got 0"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main([*folders, *(str(tmp_path / "out") if word == "OUT" else word for word in more)]) == 1
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_twice_or_without_results_is_refused(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="is given twice among"):
        draw_run_figures([folders[0], folders[0]], tmp_path)
    assert main([folders[0], str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert f"{tmp_path} holds no summary.json" in capsys.readouterr().err
