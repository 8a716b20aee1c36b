"""Tests of which figures of units an evaluation's files allow, and that they are the same bytes each time."""

import hashlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from advscope.report import draw_figures, load_examples, save_examples
from advscope.report.figure_plan import figure_plan, read_evidence
from advscope.report.unit_examples import write_unit_examples
from advscope.report.unit_plan import read_unit_evidence

UNIT_FIGURES = (
    "units_sensitivity", "units_detectors", "units_top_detectors", "units_significance", "unit_examples",
    "unit_explanations", "unit_top_images", "masking",
)  # fmt: skip


@pytest.fixture
def folder(runs: tuple[Path, Path], dissected: ModuleType) -> Path:
    made = runs[0] / "results/standard"
    dissected.write_dissection(made)
    arrays = load_examples(made / "arrays.npz")
    save_examples(made / "arrays.npz", arrays | dissected.make_activations(arrays, 0))
    return made


def test_every_file_has_its_figures(folder: Path) -> None:
    plan = figure_plan(read_evidence(folder))
    assert [name for name in plan if name in UNIT_FIGURES] == list(UNIT_FIGURES)
    assert "pgd20_activation_panels" in plan
    assert "fgsm_activation_panels" not in plan


@pytest.mark.parametrize(
    ("file", "figures"),
    [
        ("units.csv", UNIT_FIGURES[:3]),
        ("significance.csv", UNIT_FIGURES[3:4]),
        ("unit_examples.npz", UNIT_FIGURES[4:6]),
        ("top_images.npz", UNIT_FIGURES[6:7]),
        ("masking.csv", UNIT_FIGURES[7:]),
    ],
)
def test_without_a_file_its_figures_are_left_out(folder: Path, file: str, figures: tuple[str, ...]) -> None:
    (folder / file).unlink()
    plan = figure_plan(read_evidence(folder))
    assert [name for name in UNIT_FIGURES if name not in plan] == list(figures)


def test_examples_without_maps_and_cells_are_not_explained(folder: Path, dissected: ModuleType) -> None:
    bare = dissected.make_examples()._replace(map_true=None, map_target=None, cells=None, cell_classes=None)
    write_unit_examples(folder / "unit_examples.npz", bare)
    plan = figure_plan(read_evidence(folder))
    assert "unit_examples" in plan
    assert "unit_explanations" not in plan


def test_a_damaged_file_is_named(folder: Path) -> None:
    (folder / "masking.csv").write_text("layer\n")
    with pytest.raises(ValueError, match=r"masking\.csv has no column order"):
        read_unit_evidence(folder)


def test_the_same_bytes_each_time(folder: Path) -> None:
    names = ["units_top_detectors", "units_significance", "unit_explanations", "masking", "pgd20_activation_panels"]
    digests = []
    for _ in range(2):
        draw_figures(folder, names, examples=1)
        made = sorted((folder / "figures").iterdir())
        assert len(made) == 2 * len(names)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in made])
    assert digests[0] == digests[1]


def test_activations_of_a_layer_need_both_images(folder: Path, dissected: ModuleType) -> None:
    arrays = load_examples(folder / "arrays.npz")
    torn = {name: array for name, array in arrays.items() if name != "pgd20/activations/adversarial/conv1"}
    with pytest.raises(ValueError, match=r"pgd20/activations/adversarial/conv1 must be \(3, 16, 16\), got nothing"):
        save_examples(folder / "torn.npz", torn)
    wrong = arrays | {"pgd20/activations/clean/conv1": np.zeros((2, 16, 16))}
    with pytest.raises(ValueError, match=r"pgd20/activations/clean/conv1 must be \(3, 16, 16\), got \(2, 16, 16\)"):
        save_examples(folder / "torn.npz", wrong)
