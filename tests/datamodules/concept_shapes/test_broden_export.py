"""ConceptShapes in Broden's layout: what is read back, the tables, the command line."""

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from advscope.batch import Batch
from datamodules import Broden, ConceptShapes
from datamodules.broden.split_rule import split_of
from datamodules.concept_shapes import __main__ as command_line
from datamodules.concept_shapes import broden_export, export_broden
from datamodules.rendering import CONCEPTS, LAYERS, render

ROOT = Path(__file__).resolve().parents[3]
COUNT = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 30 exported pictures."""
    path = tmp_path_factory.mktemp("export") / "concept_shapes"
    export_broden(path, COUNT)
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def joined(data: Broden | ConceptShapes) -> Batch:
    data.setup("test")
    columns = zip(*data.test_dataloader(), strict=True)
    return Batch(*(None if parts[0] is None else torch.cat(parts) for parts in columns))


def test_pictures_and_annotation_come_back_bit_for_bit(folder: Path) -> None:
    shapes, broden = ConceptShapes(root=None, test=COUNT), Broden(str(folder), size=32, eval_batch_size=7)
    written, read = joined(shapes), joined(broden)

    assert torch.equal(read.images, written.images)
    assert torch.equal(read.concepts, written.concepts)
    assert torch.equal(read.image_concepts, written.image_concepts)
    assert (read.concepts.dtype, read.image_concepts.dtype) == (torch.int16, torch.int16)
    assert read.indices.tolist() == list(range(COUNT))
    assert broden.concepts == shapes.concepts
    assert broden.layers == LAYERS


def test_settings_reach_the_pictures_in_blocks_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broden_export, "_BLOCK", 2)
    done: list[int] = []
    export_broden(tmp_path / "five", 5, 16, pattern_strength=0, render_seed=3, progress=done.append)
    export_broden(tmp_path / "one", 1, 16, pattern_strength=0, render_seed=3)
    rendered = render(3, np.arange(5) + 20_000_000, 16, 0)

    five, one = (joined(Broden(str(tmp_path / name), size=16)) for name in ("five", "one"))
    assert torch.equal(five.images * 255, torch.from_numpy(rendered.images).float())
    assert torch.equal(five.concepts, torch.from_numpy(rendered.concepts))
    first = five.part(slice(1))
    assert all(left is right is None or torch.equal(left, right) for left, right in zip(first, one, strict=True))
    assert done == [2, 4, 5]


def test_tables_count_images_and_pixels(folder: Path) -> None:
    concepts = render(0, np.arange(COUNT) + 20_000_000, 32, 4).concepts
    labels = {int(row["number"]): row for row in table(folder / "label.csv")}
    assert list(labels) == [concept.number for concept in CONCEPTS]
    summary = {row["name"]: row for row in table(folder / "category.csv")}
    assert tuple(summary) == LAYERS
    for layer, category in enumerate(LAYERS):
        rows = table(folder / f"c_{category}.csv")
        assert [int(row["code"]) for row in rows] == list(range(1, len(rows) + 1))
        assert {int(row["number"]) for row in rows} == {c.number for c in CONCEPTS if c.category == category}
        frequencies = [int(row["frequency"]) for row in rows]
        assert frequencies == sorted(frequencies, reverse=True)
        numbers = [int(row["number"]) for row in rows]
        assert summary[category] == {
            "name": category,
            "first": str(min(numbers)),
            "last": str(max(numbers)),
            "count": str(len(numbers)),
            "frequency": str(sum(frequencies)),
        }
        for row in rows:
            number = int(row["number"])
            on = [int((image[layer] == number).sum()) for image in concepts]
            assert int(row["frequency"]) == sum(pixels > 0 for pixels in on)
            assert float(row["coverage"]) == sum(on) / 32**2
            assert labels[number]["name"] == row["name"]
            assert labels[number]["category"] == f"{category}({row['frequency']})"
            assert (labels[number]["frequency"], labels[number]["coverage"]) == (row["frequency"], row["coverage"])
    scenes = [int(row["frequency"]) for row in table(folder / "c_scene.csv")]
    assert sum(scenes) == COUNT


def test_the_index_is_as_in_broden(folder: Path) -> None:
    rows = table(folder / "index.csv")
    assert list(rows[0]) == ["image", "split", "ih", "iw", "sh", "sw", *LAYERS]
    for place, row in enumerate(rows):
        assert row["image"] == f"concept_shapes/{20_000_000 + place}.png"
        assert {row[side] for side in ("ih", "iw", "sh", "sw")} == {"32"}
        assert row["split"] == split_of(row["image"])
    assert {row["split"] for row in rows} == {"train", "val"}
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".csv") == ["images"]


@pytest.mark.parametrize(
    ("image", "split"),
    [
        # Rows of Broden's index whose hash is within 3e-5 of the border, and one that the file's name alone would move.
        ("ade20k/ADE_train_00009360.jpg", "val"),
        ("pascal/2008_004428.jpg", "val"),
        ("pascal/2008_006546.jpg", "train"),
        ("ade20k/ADE_train_00012420.jpg", "train"),
        ("pascal/2009_004227.jpg", "train"),
    ],
)
def test_images_near_the_border_fall_into_brodens_splits(image: str, split: str) -> None:
    assert split_of(image) == split


def test_images_fall_into_the_splits_that_broden_has_them_in(shared: Path) -> None:
    path = shared / "data" / "broden" / "broden1_224_tables" / "index_object_rows.csv.gz"
    if not path.exists():
        pytest.skip("needs shared/data/broden/broden1_224_tables, Broden's own tables")
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32310
    assert all(split_of(row["image"]) == row["split"] for row in rows)


def test_nothing_is_overwritten_and_nothing_is_left_half_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "index.csv").read_bytes()
    with pytest.raises(
        FileExistsError, match="is there already, and not an empty folder: name another one, or remove it"
    ):
        export_broden(folder, 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="file is there already"):
        export_broden(tmp_path / "file", 2)
    assert (folder / "index.csv").read_bytes() == before
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        export_broden(tmp_path / "new", 0)
    with pytest.raises(ValueError, match="size must be at least 16 pixels, got 8"):
        export_broden(tmp_path / "new", 2, size=8)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(broden_export, "write_label_tables", full)
        with pytest.raises(OSError, match="no space left"):
            export_broden(tmp_path / "new", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

    (tmp_path / "empty").mkdir()
    export_broden(tmp_path / "empty", 2)
    assert len(table(tmp_path / "empty" / "index.csv")) == 2


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out"
    command_line.main(["--broden", str(target), "--images", "3", "--size", "16"])
    assert f"wrote 3 pictures of 16 x 16 pixels to {target}" in capsys.readouterr().out
    assert joined(Broden(str(target), size=16)).images.shape == (3, 3, 16, 16)
    with pytest.raises(SystemExit, match=r"error: .*out is there already"):
        command_line.main(["--broden", str(target)])
    with pytest.raises(SystemExit, match="error: size must be at least 16"):
        command_line.main(["--broden", str(tmp_path / "other"), "--size", "3"])


def test_the_module_runs_without_a_warning() -> None:
    words = [sys.executable, "-m", "datamodules.concept_shapes", "--help"]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--broden FOLDER" in result.stdout
    assert not result.stderr
