"""Tests of several shards as one sequence."""

import io
import tarfile
from pathlib import Path

import pytest

from datamodules.class_folders import Classes
from datamodules.image_preprocessing import BrokenFileError
from datamodules.webdataset.sharded_images import expand, read_shards, with_classes_of_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three shards with 3, 1 and 2 samples; an image's bytes are its shard and place."""
    for shard, count in (("s-0", 3), ("s-1", 1), ("s-2", 2)):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as archive:
            for place in range(count):
                members = {"jpg": f"{shard}/{place}".encode(), "cls": str(place).encode()}
                for kind, content in members.items() if shard != "s-2" else [*members.items()][:1]:
                    info = tarfile.TarInfo(f"n{place}_{shard}.{kind}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return tmp_path


def test_images_are_in_the_sorted_order_of_the_shards(folder: Path) -> None:
    given = [f"{folder}/s-2.tar", f"{folder}/s-{{0..1}}.tar"]
    images = read_shards(given)
    expected = [b"s-0/0", b"s-0/1", b"s-0/2", b"s-1/0", b"s-2/0", b"s-2/1"]

    assert [images.source(place).read() for place in range(6)] == expected
    assert [images.source(place).read() for place in (4, 0, 3)] == [expected[4], expected[0], expected[3]]
    assert [images.size(place) for place in range(6)] == [5] * 6
    assert images.name(3) == f"{folder}/s-1.tar: n0_s-1"
    assert images.key(5) == b"s-2.tar/n1_s-2"
    assert images.labels.tolist() == [0, 1, 2, 0, -1, -1]
    assert images.starts.tolist() == [0, 3, 4, 6]


def test_a_key_states_the_class_where_nothing_else_does(folder: Path) -> None:
    images = read_shards(f"{folder}/s-{{0..2}}.tar")
    classes = Classes(("n2", "n1", "n0"), ("c", "b", "a"))

    assert with_classes_of_keys(images, classes).labels.tolist() == [0, 1, 2, 0, 2, 1]
    assert images.labels.tolist()[-1] == -1
    with pytest.raises(ValueError, match=r"s-2.tar: n0_s-2 has no class: .* no classes file says what its key means"):
        with_classes_of_keys(images, None)
    with pytest.raises(ValueError, match=r"n0_s-2 has no class: .* its key begins with no known one"):
        with_classes_of_keys(images, Classes(("n1", "n2", "n3"), ("a", "b", "c")))
    with pytest.raises(ValueError, match=r"n2_s-0 is of class 2, but the classes file numbers 0 ... 1"):
        with_classes_of_keys(images, Classes(("n0", "n1"), ("a", "b")))


def test_rejects_lists_of_shards(folder: Path) -> None:
    for given, message in (
        ([], "list of shards is empty"),
        ("https://example.org/s-0.tar", "is no local .tar file: shards are read by place"),
        ("pipe:cat s-0.tar", "is no local .tar file"),
        (f"{folder}/s-0.tar.gz", "is no local .tar file"),
        ([f"{folder}/s-0.tar", f"{folder}/s-{{0..1}}.tar"], r"s-0.tar is given twice"),
    ):
        with pytest.raises(ValueError, match=message):
            expand(given)
    with pytest.raises(FileNotFoundError, match=r"s-3.tar is missing"):
        read_shards(f"{folder}/s-{{2..3}}.tar")


def test_a_shard_that_changed_after_it_was_indexed_is_one_line(folder: Path) -> None:
    images = read_shards(f"{folder}/s-{{0..2}}.tar")
    (folder / "s-0.tar").write_bytes(b"short")
    (folder / "s-1.tar").unlink()

    with pytest.raises(BrokenFileError, match=r"s-0.tar: n2_s-0 is cut off: the shard has changed"):
        images.source(2)
    with pytest.raises(BrokenFileError, match=r"s-1.tar: n0_s-1 cannot be read \(No such file"):
        images.source(3)
