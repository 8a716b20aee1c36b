"""The full check: what it counts, which fault it names, and what it remembers."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import Broden
from datamodules.broden import __main__ as command_line
from datamodules.broden import check as checking
from datamodules.broden import index, record, write_mask
from datamodules.broden.check import check
from datamodules.broden.checked import CategoryCount, Checked

MASKS = ("a/0_color.png", "a/0_object.png", "a/2_color.png", "a/2_object_1.png", "a/2_object_2.png", "a/2_part.png")


@pytest.fixture
def known(root: Path) -> Path:
    """Return the folder with masks that can be counted by eye."""
    ones = np.ones((4, 6), np.int64)
    for name, number in zip(MASKS, (1, 3, 0, 3, 300, 2), strict=True):
        write_mask(root / "images" / name, ones * number)
    write_mask(root / "images/a/3_object.png", ones * 0)
    return root


@pytest.mark.parametrize("num_workers", [0, 2])
def test_it_counts_what_is_on_the_images(known: Path, num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_CHUNK", 2)
    done: list[tuple[int, int]] = []
    checked, kept = check(known, num_workers, lambda *told: done.append(told))

    assert checked == Checked(
        images=5,
        splits={"train": 3, "val": 2},
        image_sizes={(8, 8): 4, (5, 7): 1},
        mask_size=(4, 6),
        categories=(
            CategoryCount("color", 1, 1, 1, 2),  # a mask of zeros labels nothing
            CategoryCount("object", 3, 2, 2, 4),
            CategoryCount("part", 2, 1, 1, 1),
            CategoryCount("scene", 1, 1, 2, 0),  # not the scene of 0
            CategoryCount("texture", 2, 2, 2, 0),
        ),
        unlabelled=(),
    )
    assert done == [(2, 5), (4, 5), (5, 5)]
    assert kept == known / ".checked.json"


def test_images_without_any_label_are_named(known: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = (known / "index.csv").read_text()
    # Row 3 keeps its mask of zeros only, row 4 nothing at all.
    (known / "index.csv").write_text(table.replace("_object.png,,5", "_object.png,,").replace("4,6,6,,,,", "4,6,,,,,"))
    (known / "index.csv").write_text((known / "index.csv").read_text().replace("0_object.png,,\n", "0_object.png,,5\n"))
    command_line.main(["check", str(known)])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "5 images (3 train, 2 val) of 8 x 8 (4), 5 x 7 (1) pixels"
    assert told[1] == "masks of 4 x 6 pixels"
    assert told[3] == "object: 2 of 3 labels are on 2 images; 4 masks"
    assert told[-2] == "2 images have no label in any category, and are kept: a/3.jpg, a/4.png"
    with pytest.warns(UserWarning, match="1 of 5 images have no label in color, object, part, scene, texture; they"):
        Broden(str(known)).setup("test")
    with pytest.warns(UserWarning, match="4 of 5 images have no label in texture; they are kept"):
        Broden(str(known), categories=["texture"]).setup("test")


def test_a_release_is_recognised_by_its_side() -> None:
    counted = Checked(3, {"train": 2, "val": 1}, {(227, 227): 3}, (113, 113), (), tuple("abcdefg"))
    assert counted.lines() == [
        "3 images (2 train, 1 val) of 227 x 227 (3) pixels, as in Broden's release 227",
        "masks of 113 x 113 pixels",
        "7 images have no label in any category, and are kept: a, b, c, d, e, ...",
    ]


def broken(known: Path, name: str) -> None:
    path = known / "images" / name
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_first_fault_is_told_and_nothing_is_remembered(
    known: Path, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "_CHUNK", 1)
    check(known)
    assert record.is_checked(known)
    write_mask(known / "images/a/2_part.png", np.full((4, 6), 300))
    broken(known, "a/3.jpg")
    with pytest.raises(ValueError, match=r"^row 2 of index.csv: .*a/2_part.png has the label 300, which c_part.csv"):
        check(known, num_workers)
    assert not (known / ".checked.json").exists()
    write_mask(known / "images/a/2_part.png", np.full((4, 6), 3))
    with pytest.raises(
        ValueError, match=r"^row 3 of index.csv: .*3.jpg is no readable image .*: replace it, or remove"
    ):
        check(known, num_workers)


def test_the_command_line_ends_with_one_line_and_status_1(known: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken(known, "a/0_object.png")
    with pytest.raises(SystemExit, match=r"^error: row 0 of index.csv: .*a/0_object.png is no readable image") as ended:
        command_line.main(["check", str(known)])
    assert "\n" not in str(ended.value)
    with pytest.raises(SystemExit, match=r"error: .*category.csv is missing"):
        command_line.main(["check", str(known / "images")])
    with pytest.raises(SystemExit, match="error: num_workers must not be negative, got -1"):
        command_line.main(["check", str(known), "--workers", "-1"])
    assert capsys.readouterr().out == ""


def test_what_was_found_good_is_not_looked_at_again(
    known: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line.main(["check", str(known)])
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == f"{known} is good; remembered in {known / '.checked.json'}"

    def refuse(*_: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(index, "check_header", refuse)
    monkeypatch.setattr(checking, "_decode_all", refuse)
    Broden(str(known)).setup("test")
    command_line.main(["check", str(known)])
    again = capsys.readouterr().out.splitlines()
    assert again[:-1] == told[:-1]
    assert again[-1].endswith("was found good before and has not changed (--again decodes it all the same)")
    with pytest.raises(AssertionError, match="a file was opened"):
        command_line.main(["check", str(known), "--again"])


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "images/a/4.png").write_bytes((root / "images/a/4.png").read_bytes() + b"\0"),
        lambda root: (root / "images/a/4.png").rename(root / "images/a/5.png"),
        lambda root: (root / "images/a/0_object.png").unlink(),
        lambda root: (root / "images/new.txt").write_text(""),
        lambda root: (root / "c_part.csv").write_text((root / "c_part.csv").read_text() + "\n"),
        lambda root: (root / "index.csv").write_text((root / "index.csv").read_text().replace("7;6", "6;7")),
        lambda root: (root / "c_new.csv").write_text(""),
        lambda root: (root / ".checked.json").write_text("{}"),
        lambda root: (root / ".checked.json").write_text("[]"),
        lambda root: (root / ".checked.json").write_text("{"),
    ],
)
def test_any_other_table_name_or_size_makes_it_look_again(known: Path, change: object) -> None:
    check(known)
    assert record.is_checked(known)
    change(known)  # type: ignore[operator]
    assert not record.is_checked(known)


def test_a_missing_file_is_found_though_all_was_good_once(known: Path) -> None:
    check(known)
    (known / "images/a/2_part.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"row 2 \(line 4\): .*a/2_part.png is missing"):
        Broden(str(known)).setup("test")


def test_what_changes_while_it_decodes_is_looked_at_again(known: Path) -> None:
    def grow(done: int, _: int) -> None:
        path = known / "images/a/0.png"
        path.write_bytes(path.read_bytes() + b"\0")

    check(known, progress=grow)
    assert not record.is_checked(known)


def test_a_copy_of_the_data_stays_checked(known: Path, tmp_path: Path) -> None:
    check(known)
    known.rename(tmp_path / "elsewhere")
    assert record.is_checked(tmp_path / "elsewhere")


def test_data_that_cannot_be_written_to_are_remembered_in_the_cache(
    known: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(known)
    stale = (known / ".checked.json").read_text()
    write, unlink = Path.write_text, Path.unlink

    def read_only(path: Path) -> None:
        if path.parent == known:
            raise PermissionError(f"{path} cannot be written to")

    # As root every folder can be written to, whatever its mode.
    monkeypatch.setattr(Path, "write_text", lambda path, *a, **k: (read_only(path), write(path, *a, **k))[1])
    monkeypatch.setattr(
        Path, "unlink", lambda path, **k: None if not path.exists() else (read_only(path), unlink(path))[1]
    )
    part = known / "images/a/2_part.png"
    good = part.read_bytes()
    Image.fromarray(np.full((4, 6, 3), (3, 1, 0), np.uint8)).save(part)
    part.write_bytes(part.read_bytes()[: len(good)].ljust(len(good), b"\0"))  # broken, of the same size
    assert record.is_checked(known)
    with pytest.raises(ValueError, match=r"2_part\.png"):
        check(known)
    # The record beside the data cannot be removed, and must not count any more.
    assert (known / ".checked.json").read_text() == stale
    assert not record.is_checked(known)

    part.write_bytes(good)
    _, kept = check(known)
    assert kept is not None
    assert kept.is_relative_to(cache)
    assert json.loads(kept.read_text())["fingerprint"] == record.fingerprint(known)
    assert record.is_checked(known)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    _, kept = check(known)
    assert kept == known / ".checked.json"
    assert not [name for _, _, names in os.walk(cache) for name in names]


def test_where_nothing_can_be_written_the_check_is_told_all_the_same(
    known: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(record, "_written", refuse)
    command_line.main(["check", str(known)])
    assert "is good; which could not be remembered" in capsys.readouterr().out
    assert not record.is_checked(known)
