"""Tests of packing class folders, against webdataset's own reader, and of the command line."""

import json
from pathlib import Path

import pytest
import webdataset
from PIL import Image

from datamodules import ImageNet
from datamodules.webdataset import __main__ as command
from datamodules.webdataset import pack

FOLDERS = ("n01440764", "n01443537", "n02084071")


def read(folder: Path, part: str) -> list[dict]:
    paths = [str(path) for path in sorted(folder.glob(f"{part}-*.tar"))]
    return list(webdataset.WebDataset(paths, shardshuffle=False, nodesplitter=None))


def test_webdatasets_own_reader_finds_every_file_once_and_as_it_is(ilsvrc: Path, tmp_path: Path) -> None:
    told: list[int] = []
    written = pack(ImageNet(str(ilsvrc)), tmp_path / "a" / "shards", per_shard=8, progress=told.append)

    assert [path.name for path in written] == ["test-000000.tar", *(f"train-00000{number}.tar" for number in range(4))]
    assert told == [8, 16, 24, 30, 36]
    for part, folder in (("train", "train"), ("test", "val")):
        paths = sorted((ilsvrc / folder).rglob("*.JPEG"))
        samples = read(tmp_path / "a" / "shards", part)
        assert sorted(int(sample["__key__"]) for sample in samples) == list(range(len(paths)))
        # Not by class, as the files are.
        assert [sample["cls"] for sample in samples] != sorted(sample["cls"] for sample in samples)
        for sample in samples:
            path = paths[int(sample["__key__"])]
            assert sample["jpeg"] == path.read_bytes()
            assert int(sample["cls"]) == FOLDERS.index(path.parent.name)
            assert json.loads(sample["json"]) == {"file": path.relative_to(ilsvrc / folder).as_posix()}
    assert (tmp_path / "a" / "shards" / "classes.txt").read_text().split() == [
        n for name in FOLDERS for n in (name,) * 2
    ]


def test_the_same_files_give_the_same_bytes(ilsvrc: Path, tmp_path: Path) -> None:
    one, other = (pack(ImageNet(str(ilsvrc)), tmp_path / name, per_shard=20) for name in ("one", "other"))

    assert len(one) == 3
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_what_cannot_be_packed_is_refused_and_leaves_nothing(
    ilsvrc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(FileExistsError, match="full exists and is not empty: name a new folder"):
        pack(ImageNet(str(ilsvrc)), tmp_path / "full")
    with pytest.raises(ValueError, match="per_shard must be at least 1, got 0"):
        pack(ImageNet(str(ilsvrc)), tmp_path / "new", per_shard=0)
    (tmp_path / "root" / "a").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "root" / "a" / "1.bmp")
    with pytest.raises(ValueError, match=r"1.bmp is neither JPEG nor PNG by its name: convert it to PNG first"):
        pack(ImageNet(str(tmp_path / "root")), tmp_path / "new")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(ImageNet(str(ilsvrc)), tmp_path / "new", progress=interrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "root"]


def test_the_command_packs_and_indexes(ilsvrc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command.main(["pack", str(ilsvrc), str(out), "--per_shard", "11"])
    for path in out.glob("*.npz"):
        path.unlink()
    command.main(["index", str(out)])
    command.main(["index", f"{out}/train-{{000000..000001}}.tar"])

    assert capsys.readouterr().out.splitlines() == [
        f"wrote 4 shards to {out}",
        "indexed 36 samples in 4 shards",
        "indexed 22 samples in 2 shards",
    ]
    assert len(list(out.glob("*.tar.index.npz"))) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pack", "nowhere", "out"], "error: nowhere is missing or no folder"),
        (["index", "nowhere.tar"], "error: nowhere.tar is missing"),
        (["index", "."], r"error: \. holds no .tar files"),
    ],
)
def test_a_command_that_cannot_be_done_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message) as raised:
        command.main(words)
    assert "\n" not in str(raised.value)
