"""Tests of the index of a shard, against webdataset's own reader."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset

from datamodules.webdataset import shard_index as module
from datamodules.webdataset.shard_index import index_file, scan_shard, shard_index

SAMPLES = [
    {"__key__": "b/0001", "jpg": b"first", "cls": b"7"},
    {"__key__": "a/0000", "png": b"second picture", "json": b'{"label": 2, "caption": "a cat"}'},
    {"__key__": "a/0002", "jpeg": b"", "txt": b"a caption", "json": b"12"},
    {"__key__": "c/0003", "JPG": b"x" * 2000, "cls": b"3\n"},
    {"__key__": "n01440764_10026", "jpg": b"third", "json": b'{"file": "a.JPEG"}'},
]


def write(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """Write a tar file of these members."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Return a shard of five samples with names of all kinds, and members that belong to none."""
    members = [(f"{sample['__key__']}.{kind}", text) for sample in SAMPLES for kind, text in list(sample.items())[1:]]
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in [("README", b"no sample"), *members, ("ü" * 80 + "/long.jpg", b"name")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return tmp_path / "a.tar"


def test_it_finds_what_webdatasets_own_reader_finds(shard: Path) -> None:
    index = shard_index(shard)
    content = shard.read_bytes()
    theirs = list(webdataset.WebDataset(str(shard), shardshuffle=False, nodesplitter=None))

    assert [bytes(key).decode() for key in index.keys] == [sample["__key__"] for sample in theirs]
    assert len(theirs) == 6
    for offset, size, sample in zip(index.offsets, index.sizes, theirs, strict=True):
        image = next(sample[kind] for kind in sample if kind.split(".")[-1] in ("jpg", "jpeg", "png"))
        assert content[offset : offset + size] == image
    assert index.labels.tolist() == [7, 2, 12, 3, -1, -1]


def test_it_is_kept_and_made_anew_when_the_shard_changes(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shard_index(shard)
    monkeypatch.setattr(module, "scan_shard", lambda path: pytest.fail("the kept index was not used"))
    kept = shard_index(shard)
    monkeypatch.undo()

    assert all(np.array_equal(one, other) for one, other in zip(first, kept, strict=True))
    assert sorted(path.name for path in shard.parent.iterdir()) == ["a.tar", "a.tar.index.npz"]
    state = shard.stat()
    write(shard, [("k.jpg", b"1"), ("k.cls", b"5")])
    os.utime(shard, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert shard_index(shard).labels.tolist() == [5]
    # Of the same size, but changed since.
    write(shard, [("k.jpg", b"1"), ("k.cls", b"6")])
    os.utime(shard, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert shard_index(shard).labels.tolist() == [6]
    index_file(shard).write_bytes(b"damaged")
    assert shard_index(shard).labels.tolist() == [6]


def test_where_it_cannot_be_kept_it_is_made_with_a_warning(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module.tempfile, "mkstemp", refuse)
    with pytest.warns(UserWarning, match=r"a.tar.index.npz cannot be written \(Read-only file system\)"):
        assert len(shard_index(shard).keys) == 6
    assert not index_file(shard).exists()


def test_an_interrupted_writing_leaves_nothing(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        shard_index(shard)
    assert [path.name for path in shard.parent.iterdir()] == ["a.tar"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "holds no samples"),
        ([("README", b"")], "holds no samples: members must be named KEY.jpg"),
        ([("a.cls", b"1")], "sample a holds cls, but must hold one image"),
        ([("a.jpg", b""), ("a.png", b"")], "sample a holds jpg png, but must hold one image"),
        ([("a.jpg", b""), ("a.jpg", b"")], "sample a has two members jpg"),
        ([("a.jpg", b""), ("b.jpg", b""), ("a.cls", b"")], "sample a holds cls"),
        ([("a.jpg", b""), ("b.jpg", b""), ("a.png", b"")], "the key a comes back after other samples"),
        ([("a.jpg", b""), ("a.cls", b"cat")], "a.cls states no class number"),
        ([("a.jpg", b""), ("a.cls", b"-1")], r"a.cls states no class number, 0 or more \(-1\)"),
        ([("a.jpg", b""), ("a.json", b'{"label": "cat"}')], r"a.json states no class number, .*\('cat'\)"),
        ([("a.jpg", b""), ("a.json", b"true")], "a.json states no class number"),
        ([("a.jpg", b""), ("a.json", b"\xff{")], "a.json states no class number"),
    ],
)
def test_rejects_samples(tmp_path: Path, members: list[tuple[str, bytes]], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        scan_shard(write(tmp_path / "x.tar", members))

    assert "x.tar" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_shard_that_is_cut_off_or_no_tar_is_refused(shard: Path) -> None:
    whole = shard.read_bytes()
    first_end = whole.index(b"second picture") - 512
    for length in (700, 3000, len(whole) // 2, first_end):
        shard.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a.tar (is no readable tar file|is cut off|holds no samples)"):
            scan_shard(shard)
    for content in (b"text" * 1000, b"", json.dumps([]).encode()):
        shard.write_bytes(content)
        with pytest.raises(ValueError, match=r"is no readable tar file .*: shards must be whole and not compressed"):
            scan_shard(shard)
    with tarfile.open(shard, "w:gz") as archive:
        archive.add(__file__)
    with pytest.raises(ValueError, match="not compressed"):
        scan_shard(shard)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"a.tar is missing: name local .tar files"):
        shard_index(shard)
