"""Tests of shards as a datamodule: the pixels and labels of the folders that they were packed from."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from advscope.batch import Batch
from datamodules import ImageNet, ImageNetShards
from datamodules.webdataset import pack
from datamodules.webdataset.shard_index import index_file

SMALL = {"size": 32, "resize": 36, "batch_size": 8, "eval_batch_size": 4}


@pytest.fixture(scope="module")
def packed(ilsvrc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the miniature as shards of seven samples: five to train on, one to test on."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack(ImageNet(str(ilsvrc)), folder, per_shard=7)
    return folder


def shards(packed: Path, **settings: Any) -> ImageNetShards:
    given = {"train": f"{packed}/train-{{000000..000004}}.tar", "test": f"{packed}/test-000000.tar"}
    return ImageNetShards(**{**given, **SMALL, **settings})


def images_of(batches: list[Batch]) -> dict[int, tuple[Tensor, int]]:
    return {
        int(i): (image, int(label))
        for batch in batches
        for i, image, label in zip(batch.indices, batch.images, batch.labels, strict=True)
    }


def original(data: ImageNetShards, name: Any, index: int) -> int:
    """Return the index of a packed sample in the folders: its key."""
    return int(bytes(data.files(name).keys[index]))


def test_evaluation_gives_the_folders_images_in_the_order_of_the_shards(packed: Path, ilsvrc: Path) -> None:
    data, folders = shards(packed), ImageNet(str(ilsvrc), **SMALL)
    data.setup("test")
    found, expected = images_of(list(data.test_dataloader())), images_of(list(folders.test_dataloader()))

    assert list(found) == list(range(6))
    assert data.class_names == folders.class_names
    for index, (image, label) in found.items():
        other = expected[original(data, "test", index)]
        assert torch.equal(image, other[0])
        assert label == other[1]
    assert data.classes_of("test").tolist() == [label for _, label in found.values()]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_covers_all_shards_by_seed_epoch_and_index(packed: Path, num_workers: int) -> None:
    data = shards(packed, validation_images=5)
    workers = shards(packed, validation_images=5, num_workers=num_workers, batch_size=25)
    data.setup("fit")
    loaders = data.train_dataloader(), workers.train_dataloader()
    for loader in loaders:
        loader.set_epoch(2)
    some, all_images = (images_of(list(loader)) for loader in loaders)

    assert len(some) == 24
    assert len(all_images) == 25
    assert sorted([*all_images, *data.split_indices("val").tolist()]) == list(range(30))
    assert all(torch.equal(image, all_images[index][0]) for index, (image, _) in some.items())
    assert list(some) != sorted(some)


def test_processes_share_the_samples_without_repeats(packed: Path) -> None:
    ranks = [shards(packed, eval_batch_size=2) for _ in range(4)]
    for rank, data in enumerate(ranks):
        data.trainer = SimpleNamespace(current_epoch=0, global_rank=rank, world_size=4)

    assert [[int(i) for batch in data.test_dataloader() for i in batch.indices] for data in ranks] == [
        [0, 4],
        [1, 5],
        [2],
        [3],
    ]


def test_a_subset_keeps_indices_and_order(packed: Path) -> None:
    data = shards(packed, subset_classes=["n01443537"], images_per_class=1)

    assert data.classes_of("test").tolist() == [1]
    labels = shards(packed).classes_of("test").tolist()
    assert labels[int(data.split_indices("test"))] == 1
    assert data.checksum("test") != shards(packed).checksum("test")


def test_a_broken_sample_is_named_by_shard_and_key(packed: Path, ilsvrc: Path, tmp_path: Path) -> None:
    content = bytearray((packed / "test-000000.tar").read_bytes())
    files = shards(packed).files("test")
    begin = int(files.offsets[2])
    content[begin : begin + 600] = bytes(600)
    (tmp_path / "bad.tar").write_bytes(content)
    given = {"train": None, "test": str(tmp_path / "bad.tar"), "classes": str(packed / "classes.txt")}

    with pytest.raises(ValueError, match=r"bad.tar: 0000000\d is no readable image"):
        list(shards(packed, **given).test_dataloader())
    data = shards(packed, **given, broken="skip")
    assert list(images_of(list(data.test_dataloader()))) == [0, 1, 3, 4, 5]
    assert "bad.tar" in data.broken[2]


def test_without_a_classes_file_classes_are_numbers(packed: Path, tmp_path: Path) -> None:
    for shard in packed.glob("*.tar"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    data = shards(tmp_path)

    assert data.class_names == ("0", "1", "2")
    assert index_file(tmp_path / "test-000000.tar").exists()
    assert ImageNetShards(test=f"{tmp_path}/test-000000.tar").num_classes == 3


def test_rejects_what_is_missing(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither train nor test is given"):
        ImageNetShards()
    with pytest.raises(FileNotFoundError, match="no shards for the train split: set train to their paths"):
        shards(packed, train=None).setup("fit")
    with pytest.raises(FileNotFoundError, match=r"nowhere.tar is missing"):
        shards(packed, test=f"{packed}/nowhere.tar").setup("test")
    classes = tmp_path / "more.txt"
    classes.write_text((packed / "classes.txt").read_text() + "n99999999 unicorn\n")
    with pytest.raises(ValueError, match="the setting test holds no image of 1 of the 1 chosen"):
        shards(packed, classes=str(classes), subset_classes=["unicorn"]).setup("test")
