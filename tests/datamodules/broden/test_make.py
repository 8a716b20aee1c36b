"""Images and masks of users in Broden's layout: what is read back, against plain loops, and the tables."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from advscope.batch import Batch
from advscope.concepts import Concept
from datamodules import Broden
from datamodules.broden import __main__ as command_line
from datamodules.broden import layout_writer
from datamodules.broden.check import check
from datamodules.broden.colour_names import COLOURS, colour_table
from datamodules.broden.make import Made, make
from datamodules.broden.split_rule import split_of

LABELS = """number,name,category
0,void,object
1,cat,object
2,dog,object
300,car,object
1,cat,part
7,leg,part
20,street-s,scene
21,dotted,texture
22,striped,texture
"""
IMAGE_LABELS = """image,category,label
a.png,scene,street-s
deep/b.jpg,texture,22
deep/b,texture,dotted
deep/b,object,2
"""
PALETTE = [7 * k % 256 for k in range(768)]


class Given:
    """A user's folders, with masks in all forms, and the numbers that are in them."""

    def __init__(self, folder: Path) -> None:
        self.images, self.masks = folder / "photos", folder / "masks"
        self.labels, self.image_labels = folder / "labels.csv", folder / "whole.csv"
        self.labels.write_text(LABELS)
        self.image_labels.write_text(IMAGE_LABELS)
        generator = np.random.default_rng(5)
        self.numbers: dict[tuple[str, str], list[np.ndarray]] = {}
        for stem, ending, shape in (("a", "png", (16, 16)), ("deep/b", "jpg", (30, 21)), ("c_1", "png", (9, 40))):
            path = self.images / f"{stem}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(path)
            for name in ("object", "part"):
                (self.masks / name / path.parent.relative_to(self.images)).mkdir(parents=True, exist_ok=True)
        (self.masks / "object" / ".hidden").write_text("")

        def chosen(members: list[int], shape: tuple[int, int]) -> np.ndarray:
            return generator.choice(members, shape)

        self.save("object", "a", chosen([0, 1, 2], (16, 16)), "grey")
        self.save("object", "deep/b_1", chosen([0, 1, 300], (30, 21)), "grey16", of="deep/b")
        self.save("object", "deep/b_2", chosen([0, 1, 2, 255], (30, 21)), "palette", of="deep/b")
        self.save("part", "deep/b", chosen([0, 1], (30, 21)), "bits")
        self.save("part", "c_1", chosen([0, 7], (9, 40)), "broden")

    def save(self, category: str, name: str, numbers: np.ndarray, form: str, of: str | None = None) -> None:
        """Write a mask, and note its numbers."""
        path = self.masks / category / f"{name}.png"
        if form == "grey":
            image = Image.fromarray(numbers.astype(np.uint8))
        elif form == "grey16":
            image = Image.fromarray(numbers.astype(np.uint16))
        elif form == "bits":
            image = Image.fromarray(numbers.astype(bool))
        elif form == "palette":
            image = Image.fromarray(numbers.astype(np.uint8), "P")
            image.putpalette(PALETTE)
        else:
            image = Image.fromarray(np.stack([numbers % 256, numbers // 256, 0 * numbers], -1).astype(np.uint8))
        image.save(path)
        self.numbers.setdefault((category, of or name), []).append(numbers)


@pytest.fixture
def given(tmp_path: Path) -> Given:
    return Given(tmp_path)


def made(given: Given, output: Path, **settings: object) -> Made:
    defaults = {"labels": given.labels, "image_labels": given.image_labels, "ignore": [255], "size": 16}
    return make(output, given.images, given.masks, **{**defaults, **settings})  # type: ignore[arg-type]


def joined(data: Broden) -> Batch:
    data.setup("test")
    columns = zip(*data.test_dataloader(), strict=True)
    return Batch(*(None if parts[0] is None else torch.cat(parts) for parts in columns))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scaled(mask: np.ndarray, side: int) -> np.ndarray:
    """Scale by plain loops: the label at the place where each pixel's centre falls."""
    height, width = mask.shape
    result = np.zeros((side, side), int)
    for y in range(side):
        for x in range(side):
            number = mask[int((y + 0.5) * height / side), int((x + 0.5) * width / side)]
            result[y, x] = 0 if number == 255 else number
    return result


def colours_by_loops(image: Image.Image, side: int, first: int) -> np.ndarray:
    """Name the mean of each block of pixels."""
    pixels = np.asarray(image).astype(float)
    factor = len(pixels) // side
    result = np.zeros((side, side), int)
    for y in range(side):
        for x in range(side):
            block = pixels[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
            # PIL averages along rows, rounds, and then along columns.
            red, green, blue = (np.floor(np.floor(block.mean(1) + 0.5).mean(0) + 0.5)).astype(int) // 8
            result[y, x] = first + int(colour_table()[red, green, blue])
    return result


def test_images_masks_and_labels_come_back(given: Given, tmp_path: Path) -> None:
    output, told = tmp_path / "out", []
    assert made(given, output, progress=lambda *step: told.append(step)) == Made(
        3, 0, {"color": 11, "object": 3, "part": 2, "scene": 1, "texture": 2}
    )
    data = Broden(str(output), size=16)
    batch = joined(data)

    rows = table(output / "index.csv")
    assert [row["image"] for row in rows] == ["photos/a.png", "photos/c_1.png", "photos/deep/b.png"]
    assert list(rows[0]) == ["image", "split", "ih", "iw", "sh", "sw", "color", "object", "part", "scene", "texture"]
    assert all(row["split"] == split_of(row["image"]) for row in rows)
    assert {(row["ih"], row["iw"], row["sh"], row["sw"]) for row in rows} == {("16", "16", "8", "8")}
    assert rows[2]["object"] == "2;photos/deep/b_object_1.png;photos/deep/b_object_2.png"
    assert rows[2]["texture"] == "22;21"
    assert (rows[1]["object"], rows[1]["scene"]) == ("", "")
    assert data.layers == ("color", "object", "object", "part")
    assert batch.image_concepts.tolist() == [[20, 0, 0], [0, 0, 0], [2, 22, 21]]
    for index, (stem, ending) in enumerate((("a", "png"), ("c_1", "png"), ("deep/b", "jpg"))):
        image = Image.open(given.images / f"{stem}.{ending}").resize((16, 16), Image.Resampling.BILINEAR)
        assert np.array_equal(batch.images[index].permute(1, 2, 0) * 255, np.asarray(image))
        assert np.array_equal(batch.concepts[index, 0], colours_by_loops(image, 8, 301))
        for place, (category, channel) in enumerate((("object", 0), ("object", 1), ("part", 0)), start=1):
            masks = given.numbers.get((category, stem), [])
            expected = scaled(masks[channel], 8) if channel < len(masks) else np.zeros((8, 8))
            assert np.array_equal(batch.concepts[index, place], expected), (stem, category)
    assert data.concepts[:2] == (Concept(1, "cat", "object"), Concept(2, "dog", "object"))
    colours = [concept for concept in data.concepts if concept.category == "color"]
    assert colours == [Concept(301 + place, f"{name}-c", "color") for place, name in enumerate(COLOURS)]
    assert told[0] == ("reading masks", 1, 3)
    assert told[-1] == ("writing", 3, 3)
    assert check(output)[0].images == 3


def test_tables_count_images_and_pixels(given: Given, tmp_path: Path) -> None:
    made(given, tmp_path / "out", colours="none")
    concepts = joined(Broden(str(tmp_path / "out"), size=16)).concepts.numpy()
    layers = {"object": concepts[:, :2], "part": concepts[:, 2:]}
    whole = {("scene", 20): [0], ("texture", 22): [2], ("texture", 21): [2], ("object", 2): [2]}
    labels = {int(row["number"]): row for row in table(tmp_path / "out" / "label.csv")}
    assert sorted(labels) == [1, 2, 7, 20, 21, 22, 300]
    stated: Counter[int] = Counter()
    for category in ("object", "part", "scene", "texture"):
        rows = table(tmp_path / "out" / f"c_{category}.csv")
        assert [int(row["code"]) for row in rows] == list(range(1, len(rows) + 1))
        for row in rows:
            number = int(row["number"])
            # A pixel with a label in two channels counts once, and an image as a whole has all of its pixels.
            shares = [
                1.0 if index in whole.get((category, number), []) else float((mask == number).any(0).mean())
                for index, mask in enumerate(layers.get(category, np.zeros((3, 1, 8, 8))))
            ]
            assert float(row["coverage"]) == pytest.approx(sum(shares))
            assert int(row["frequency"]) == sum(share > 0 for share in shares)
            assert f"{category}({row['frequency']})" in labels[number]["category"].split(";")
            stated[number] += int(row["frequency"])
    assert {number: int(row["frequency"]) for number, row in labels.items()} == dict(stated)


def test_settings_reach_the_files(given: Given, tmp_path: Path) -> None:
    other = np.full((32, 32, 32), 4, np.uint8)
    np.save(tmp_path / "table.npy", other)
    made(given, tmp_path / "out", size=9, mask_size=12, source="mine", colours=tmp_path / "table.npy")
    batch = joined(Broden(str(tmp_path / "out"), size=9))
    assert batch.images.shape == (3, 3, 9, 9)
    assert batch.concepts.shape == (3, 4, 12, 12)
    assert set(batch.concepts[:, 0].unique().tolist()) == {305}  # green is the fifth name
    assert {row["image"].split("/")[0] for row in table(tmp_path / "out" / "index.csv")} == {"mine"}
    made(given, tmp_path / "odd", size=9)
    assert joined(Broden(str(tmp_path / "odd"), size=9)).concepts.shape == (3, 4, 5, 5)


def test_without_tables_labels_are_named_after_their_numbers(given: Given, tmp_path: Path) -> None:
    for path in (given.masks / "part").rglob("*.png"):
        path.unlink()
    given.save("part", "c_1", np.full((9, 40), 7), "grey")
    written = made(given, tmp_path / "out", labels=None, image_labels=None, colours="none", ignore=[255])
    assert written.labels == {"object": 3, "part": 1}
    assert Broden(str(tmp_path / "out")).concepts == (
        Concept(1, "label 1", "object"),
        Concept(2, "label 2", "object"),
        Concept(7, "label 7", "part"),
        Concept(300, "label 300", "object"),
    )


def test_whole_images_labels_are_enough(given: Given, tmp_path: Path) -> None:
    given.image_labels.write_text("image,category,label\na,scene,beach\nc_1,scene,street\ndeep/b,scene,beach\n")
    written = make(tmp_path / "out", given.images, image_labels=given.image_labels, size=8, colours="none")
    assert written.labels == {"scene": 2}
    assert Broden(str(tmp_path / "out")).concepts == (Concept(1, "beach", "scene"), Concept(2, "street", "scene"))
    assert joined(Broden(str(tmp_path / "out"), size=8)).image_concepts.tolist() == [[1], [2], [1]]


def test_images_without_a_label_are_refused_or_kept(given: Given, tmp_path: Path) -> None:
    (given.masks / "part" / "c_1.png").unlink()
    with pytest.raises(ValueError, match=r"photos/c_1.png has no label \(1 of 3 images have none\): label such images"):
        made(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert made(given, tmp_path / "out", keep_unlabelled=True).unlabelled == 1
    # A mask of nothing but unlabelled pixels labels nothing either.
    given.save("part", "c_1", np.full((9, 40), 255), "grey")
    with pytest.raises(ValueError, match=r"c_1.png has no label"):
        made(given, tmp_path / "other")
    # The colours of its pixels do not make it a labelled one, and are written all the same.
    with pytest.raises(ValueError, match=r"c_1.png has no label"):
        made(given, tmp_path / "other", colours="none")
    assert joined(Broden(str(tmp_path / "out"), size=16)).concepts[1, 0].min() >= 301


def test_labels_that_are_lost_in_scaling_are_told_of(given: Given, tmp_path: Path) -> None:
    mask = np.zeros((9, 40), int)
    mask[0, 0] = 7
    given.save("part", "c_1", mask, "grey")
    assert made(given, tmp_path / "out", mask_size=2).unlabelled == 1


def test_the_same_input_gives_the_same_files(given: Given, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        made(given, tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 3 + 3 + 3 + 2 + 3 + 5  # images, colours, objects, parts, tables, labels of categories


def test_nothing_is_overwritten_and_nothing_is_left_half_done(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileExistsError, match="is there already, and not an empty folder"):
        made(given, given.images)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    before = sorted(path.name for path in tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(layout_writer, "write_label_tables", full)
        with pytest.raises(OSError, match="no space left"):
            made(given, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    (tmp_path / "empty").mkdir()
    assert made(given, tmp_path / "empty").images == 3


def test_the_command_line(given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["make", "--images", str(given.images), "--masks", str(given.masks), "--size", "16"]
    words += ["--labels", str(given.labels), "--image-labels", str(given.image_labels), "--ignore", "255"]
    command_line.main([*words, str(tmp_path / "out")])
    assert capsys.readouterr().out == (
        f"wrote 3 images to {tmp_path / 'out'}; labels: 11 in color, 3 in object, 2 in part, 1 in scene, 2 in texture\n"
    )
    with pytest.raises(SystemExit, match=r"^error: .*out is there already"):
        command_line.main([*words, str(tmp_path / "out")])
    (given.masks / "part" / "c_1.png").unlink()
    command_line.main([*words, "--keep-unlabelled", "--colours", "none", str(tmp_path / "kept")])
    assert capsys.readouterr().out.splitlines()[1] == "1 images have no label but their colours'"
