"""What Broden refuses, and when: one line that names the file, the row and the remedy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import Broden
from datamodules.broden import write_mask
from datamodules.broden.label_mask import read_mask

Change = Callable[[Path], object]


def replaced(table: str, old: str, new: str) -> Change:
    """Return what puts another text into a table."""

    def change(root: Path) -> None:
        content = (root / table).read_text()
        assert old in content
        (root / table).write_text(content.replace(old, new, 1))

    return change


def written(name: str, content: bytes) -> Change:
    return lambda root: (root / name).write_bytes(content)


def removed(name: str) -> Change:
    return lambda root: (root / name).unlink()


def painted(name: str, pixels: np.ndarray) -> Change:
    return lambda root: Image.fromarray(pixels).save(root / "images" / name)


def refusal(root: Path, error: type[Exception], **settings: object) -> str:
    """Return the one line by which a set-up is refused."""
    data = Broden(str(root), size=8, **settings)
    with pytest.raises(error) as raised:
        data.setup("test")
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (removed("index.csv"), "index.csv is missing: set root to a folder in Broden's layout"),
        (removed("label.csv"), "label.csv is missing: set root"),
        (removed("category.csv"), "category.csv is missing: set root"),
        (removed("c_part.csv"), "c_part.csv is missing: set root"),
        (
            removed("images/a/1.png"),
            "index.csv, row 1 (line 3): {images}/a/1.png is missing: complete the data, or remove",
        ),
        (
            removed("images/a/2_part.png"),
            "index.csv, row 2 (line 4): {images}/a/2_part.png is missing: complete the data",
        ),
        (lambda root: shutil.rmtree(root), "category.csv is missing"),
    ],
)
def test_missing_files_are_named_at_set_up(root: Path, change: Change, message: str) -> None:
    change(root)
    assert message.format(images=root / "images") in refusal(root, FileNotFoundError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # Tables.
        (
            replaced("index.csv", "part", "parts"),
            "index.csv has no column 'part' (its columns: image, split, ih, iw, sh",
        ),
        (replaced("index.csv", "color", "image"), "index.csv has no column 'color'"),
        (replaced("index.csv", "ih", "image"), "index.csv names the column 'image' more than once: keep one"),
        (
            replaced("label.csv", "name", "label"),
            "label.csv has no column 'name' (its columns: label, number, category",
        ),
        (replaced("c_part.csv", "coverage", "cover"), "c_part.csv has no column 'coverage'"),
        (written("index.csv", b""), "index.csv has no column 'image' (its columns: none)"),
        (written("index.csv", b"image,\xff"), "index.csv is no readable CSV table"),
        (replaced("index.csv", "a/1.png", '"a/1.png'), "index.csv is no readable CSV table"),
        (replaced("index.csv", "7;6,,,,0", "7;6,,,0"), "index.csv, row 1 (line 3): 10 cells where the header names 11"),
        (
            replaced("label.csv", "wheel,2", "wheel,two"),
            "label.csv, row 2 (line 4): number must be a whole number from 0",
        ),
        (
            replaced("label.csv", "wheel,2", "wheel,-2"),
            "label.csv, row 2 (line 4): number must be a whole number from 0",
        ),
        (replaced("label.csv", "car,300", "car,32768"), "row 7 (line 9): number must be at most 32,767, got 32768"),
        (replaced("label.csv", "dotted,6", "dotted,5"), "row 5 (line 7): number 5 is there already, as 'street-s'"),
        (
            replaced("label.csv", "dotted", "spotted"),
            "c_texture.csv, row 0 (line 2): number 6 is 'dotted', but label.csv "
            "calls it 'spotted': take all tables from one version",
        ),
        (replaced("c_scene.csv", "5,street", "4,street"), "number 4 is 'street-s', but label.csv does not list it"),
        (
            replaced("c_texture.csv", "7,striped", "6,dotted"),
            "c_texture.csv, row 1 (line 3): number 6 is there already",
        ),
        (
            replaced("c_color.csv", "2.5", "much"),
            "c_color.csv, row 0 (line 2): coverage must be a number from 0, got 'much'",
        ),
        (
            replaced("c_color.csv", "2.5", "nan"),
            "c_color.csv, row 0 (line 2): coverage must be a number from 0, got 'nan'",
        ),
        (written("category.csv", b"name\n"), "categories must name at least one"),
        # Rows of index.csv.
        (replaced("index.csv", "a/1.png,val", "a/1.png,dev"), "row 1 (line 3): split must be train or val, got 'dev'"),
        (replaced("index.csv", "5,7,4,6", "5,7,4,x"), "row 3 (line 5): sw must be a whole number from 0, got 'x'"),
        (replaced("index.csv", "8,8,4,6", "8,8,4,0"), "row 0 (line 2): sh and sw must be at least 1, got 4 and 0"),
        (replaced("index.csv", "5,7,4,6", "5,7,6,4"), "row 3 (line 5): sh x sw is 6 x 4, but 4 x 6 in an earlier row"),
        (
            replaced("index.csv", "7;6", "7;8"),
            "row 1 (line 3): texture has the label 8, which c_texture.csv does not list",
        ),
        (
            replaced("index.csv", "7;6", "7;5"),
            "row 1 (line 3): texture has the label 5, which c_texture.csv does not list",
        ),
        (
            replaced("index.csv", "7;6", "7;;6"),
            "row 1 (line 3): texture has an empty entry in '7;;6': separate entries",
        ),
        # Masks, of which the first bytes tell.
        (
            painted("a/0_object.png", np.zeros((6, 4, 3), np.uint8)),
            "row 0 (line 2): {images}/a/0_object.png is 6 x 4 pixels, but sh x sw is 4 x 6 pixels",
        ),
        (
            painted("a/0_object.png", np.zeros((4, 6), np.uint8)),
            "a/0_object.png is no 8-bit RGB: write label numbers as",
        ),
        (
            painted("a/2_part.png", np.zeros((4, 6, 4), np.uint8)),
            "row 2 (line 4): {images}/a/2_part.png is no 8-bit RGB",
        ),
        (written("images/a/2_part.png", b"broken"), "row 2 (line 4): {images}/a/2_part.png is no PNG file: replace it"),
        (written("images/a/2_part.png", b""), "{images}/a/2_part.png is no PNG file: replace it"),
    ],
)
def test_what_is_wrong_is_named_at_set_up(root: Path, change: Change, message: str) -> None:
    change(root)
    assert message.format(images=root / "images") in refusal(root, ValueError)


def test_categories_that_are_not_there_or_say_nothing_are_refused(root: Path) -> None:
    assert refusal(root, ValueError, categories=["object", "colour"]) == (
        f"there is no category 'colour': {root / 'category.csv'} lists color, object, part, scene, texture"
    )
    assert refusal(root, ValueError, categories=[]).startswith("categories must name at least one of color, object")
    assert refusal(root, ValueError, categories=["part"], split="val") == (
        f"{root / 'index.csv'}: none of the 2 images is labelled in part: choose more categories"
    )
    replaced("index.csv", "a/1.png,val", "a/1.png,train")(root)
    replaced("index.csv", "a/3.jpg,val", "a/3.jpg,train")(root)
    assert "index.csv lists no images of the split val: take another, or null" in refusal(root, ValueError, split="val")


def test_rows_that_are_not_chosen_need_no_files(root: Path) -> None:
    (root / "images" / "a" / "2.png").unlink()
    replaced("index.csv", "a/4.png,train,8,8,4,6", "a/4.png,train,8,8,9,9")(root)
    data = Broden(str(root), split="val", size=8)
    data.setup("test")
    assert [batch.indices.tolist() for batch in data.test_dataloader()] == [[1, 3]]


def cut_off(name: str) -> Change:
    """Return what cuts a file off in its middle, behind the bytes that are looked at first."""
    return lambda root: (root / "images" / name).write_bytes((root / "images" / name).read_bytes()[:50])


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (written("images/a/3.jpg", b"broken"), "row 3 of index.csv: {images}/a/3.jpg is no readable image"),
        (cut_off("a/2_part.png"), "row 2 of index.csv: {images}/a/2_part.png is no readable image"),
        (
            lambda root: write_mask(root / "images/a/2_part.png", np.full((4, 6), 300)),
            "row 2 of index.csv: "
            "{images}/a/2_part.png has the label 300, which c_part.csv does not list: replace the mask",
        ),
        (lambda root: write_mask(root / "images/a/2_part.png", np.full((4, 6), 65535)), "has the label 65535, which"),
        (
            painted("a/0_object.png", np.ones((4, 6, 3), np.uint8)),
            "row 0 of index.csv: {images}/a/0_object.png is no label mask: blue must be 0",
        ),
    ],
)
def test_what_only_decoding_shows_is_named_then(root: Path, change: Change, message: str, num_workers: int) -> None:
    change(root)
    data = Broden(str(root), size=8, eval_batch_size=2, num_workers=num_workers)
    data.setup("test")
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole line is compared below
        list(data.test_dataloader())
    assert message.format(images=root / "images") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_mask_that_shrinks_after_the_set_up_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="is 4 x 6 pixels, but sh x sw is 4 x 7 pixels"):
        read_mask(str(root / "images/a/0_color.png"), 4, 7)
