"""Tests of finding images and classes in folders."""

from pathlib import Path

import pytest

from datamodules.class_folders import Classes, class_folders, read_classes, scan


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def test_files_are_sorted_by_class_folder_and_name_and_others_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.JPEG", "b/10.png", "a/é.jpg", "a/notes.txt", ".hidden/1.jpg", "loose.jpg")
    files = scan(tmp_path, Classes(("b", "unused", "a"), ("b", "unused", "a")))

    assert [files.path(place) for place in range(3)] == [
        str(tmp_path / name) for name in ("a/é.jpg", "b/10.png", "b/2.JPEG")
    ]
    assert files.labels.tolist() == [2, 0, 0]
    assert class_folders(tmp_path) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "folders", "names"),
    [
        ("plain.txt", "n2\nn1\n\n", ("n2", "n1"), ("n2", "n1")),
        ("named.txt", "n2 tench, Tinca tinca\nn1\tgoldfish\n", ("n2", "n1"), ("tench, Tinca tinca", "goldfish")),
        ("index.json", '{"1": ["n1", "goldfish"], "0": ["n2", "tench"]}', ("n2", "n1"), ("tench", "goldfish")),
    ],
)
def test_the_order_of_a_classes_file_gives_the_numbers(
    tmp_path: Path, name: str, text: str, folders: tuple[str, ...], names: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(text)

    assert read_classes(tmp_path / name) == (folders, names)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classes.txt", "", "lists no class"),
        ("classes.txt", "a\nb\na\n", "lists a more than once"),
        ("classes.json", '{"1": ["n1", "goldfish"]}', "numbered from 0"),
        ("classes.json", "{", "must be JSON such as"),
        ("classes.json", '["a"]', "must be JSON such as"),
    ],
)
def test_rejects_classes_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(ValueError, match=message) as raised:
        read_classes(tmp_path / name)

    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rejects_what_is_missing_empty_or_unknown(tmp_path: Path) -> None:
    classes = Classes(("a", "b"), ("a", "b"))
    with pytest.raises(FileNotFoundError, match=r"none.txt \(classes\) is missing"):
        read_classes(tmp_path / "none.txt")
    with pytest.raises(FileNotFoundError, match="nowhere is missing or no folder"):
        scan(tmp_path / "nowhere", classes)
    with pytest.raises(FileNotFoundError, match="flat holds no class folders"):
        scan(touch(tmp_path / "flat", "1.jpg"), classes)
    with pytest.raises(FileNotFoundError, match=r"b holds no images \(.jpg .*\): fill or remove it"):
        scan(touch(tmp_path / "empty", "a/1.jpg", "b/readme"), classes)
    with pytest.raises(ValueError, match=r"c is no known class \(the 2 known ones begin with a\)"):
        scan(touch(tmp_path / "unknown", "a/1.jpg", "c/1.jpg"), classes)
