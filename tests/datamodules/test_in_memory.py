"""Tests of data held in memory, and of their loaders under a real trainer."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from advscope.batch import Batch
from datamodules import CropFlip, InMemoryDataModule, Split

COUNTS = {"train": 22, "val": 7, "test": 5}


class Pixels(InMemoryDataModule):
    """Small random images; the index of an image is 100 + its place."""

    class_names = ("no", "yes")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.loads: list[str] = []

    def load(self, split: str) -> Split:
        self.loads.append(split)
        count = COUNTS[split]
        generator = torch.Generator().manual_seed(count)
        images = torch.randint(256, (count, 3, 6, 6), generator=generator).to(torch.uint8)
        return Split(
            images,
            torch.arange(count) % 2,
            100 + torch.arange(count),
            images[:, :1].to(torch.int16),
            torch.arange(count).to(torch.int16)[:, None],
        )


class Recorder(LightningModule):
    """A linear network that keeps the batches it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(108, 2))
        self.trained: list[tuple[int, Batch]] = []
        self.evaluated: dict[str, list[Tensor]] = {"val": [], "test": []}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trained.append((self.current_epoch, batch))
        return nn.functional.cross_entropy(self.network(batch.images), batch.labels)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if not self.trainer.sanity_checking:
            self.evaluated["val"].append(batch.indices)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluated["test"].append(batch.indices)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def of_epoch(self, epoch: int) -> list[Batch]:
        return [batch for number, batch in self.trained if number == epoch]


def trainer(folder: Path, **settings: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    checkpoints = {"enable_checkpointing": False, "use_distributed_sampler": False, "default_root_dir": folder}
    return Trainer(**{**quiet, **checkpoints, **settings})


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        left is right is None or torch.equal(left, right)
        for a, b in zip(one, other, strict=True)
        for left, right in zip(a, b, strict=True)
    )


def share(data: Pixels, rank: int, world_size: int, epoch: int = 0) -> Pixels:
    """Let the data believe that they belong to one of several processes."""
    data.trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank, world_size=world_size)
    return data


def test_the_size_of_the_images_is_known_from_any_split() -> None:
    data = Pixels()
    data.split("val")
    assert data.image_size == (6, 6)
    assert data.loads == ["val"]
    assert Pixels().image_size == (6, 6)


def test_loaders_of_data_without_concepts_name_none() -> None:
    assert Pixels().test_dataloader().concepts == ()


def test_batches_are_what_networks_take() -> None:
    batch = next(iter(Pixels(batch_size=8).train_dataloader()))

    assert isinstance(batch, Batch)
    assert batch.images.shape == (8, 3, 6, 6)
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= batch.images.min() < batch.images.max() <= 1
    assert batch.labels.dtype == batch.indices.dtype == torch.int64
    assert batch.concepts is not None
    assert batch.concepts.dtype == torch.int16


@pytest.mark.parametrize("augmentation", [None, CropFlip(0, flip=False)])
def test_everything_of_an_image_stays_together(augmentation: CropFlip | None) -> None:
    data = Pixels(batch_size=4, augmentation=augmentation)
    split = data.split("train")

    for batch in data.train_dataloader():
        places = batch.indices - 100
        assert torch.equal(batch.images * 255, split.images[places].float())
        assert torch.equal(batch.labels, places % 2)
        assert batch.concepts is not None
        assert torch.equal(batch.concepts, split.concepts[places])
        assert batch.image_concepts is not None
        assert torch.equal(batch.image_concepts[:, 0].long(), places)


def test_evaluation_is_in_order_complete_and_never_augmented() -> None:
    data = Pixels(batch_size=2, eval_batch_size=3, augmentation=CropFlip(2))
    loader = data.val_dataloader()
    batches = list(loader)

    assert [len(batch.labels) for batch in batches] == [3, 3, 1]
    assert len(loader) == 3
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(100, 107))
    images = torch.cat([batch.images for batch in batches])
    assert torch.equal(images, data.split("val").images.float() / 255)
    assert torch.equal(data.classes_of("val"), torch.cat([batch.labels for batch in batches]))


def test_an_augmented_image_depends_on_seed_epoch_and_index_alone() -> None:
    def by_index(data: Pixels) -> dict[int, Tensor]:
        return {int(i): image for b in data.train_dataloader() for i, image in zip(b.indices, b.images, strict=True)}

    one = by_index(share(Pixels(batch_size=22, augmentation=CropFlip(2)), 0, 1, epoch=3))
    small = by_index(share(Pixels(batch_size=4, augmentation=CropFlip(2)), 0, 1, epoch=3))
    other = by_index(share(Pixels(batch_size=5, augmentation=CropFlip(2)), 1, 2, epoch=3))
    later = by_index(share(Pixels(batch_size=22, augmentation=CropFlip(2)), 0, 1, epoch=4))

    assert len(one) == 22
    for part in (small, other):
        assert all(torch.equal(image, one[index]) for index, image in part.items())
    assert any(not torch.equal(later[index], one[index]) for index in one)


def test_processes_share_training_and_evaluation_without_repeats() -> None:
    ranks = [share(Pixels(batch_size=4, eval_batch_size=3), rank, 2) for rank in range(2)]

    trained = [list(data.train_dataloader()) for data in ranks]
    tested = [torch.cat([batch.indices for batch in data.test_dataloader()]).tolist() for data in ranks]

    # 11 images for each of 2 processes: 2 batches of 4.
    assert [len(batches) for batches in trained] == [len(data.train_dataloader()) for data in ranks] == [2, 2]
    assert len(torch.cat([batch.indices for batches in trained for batch in batches]).unique()) == 16
    assert tested == [[100, 102, 104], [101, 103]]
    assert [len(data.test_dataloader()) for data in ranks] == [1, 1]


def test_set_epoch_chooses_the_epoch() -> None:
    data = Pixels(batch_size=4)
    loader = data.train_dataloader()
    first, again = list(loader), list(loader)
    loader.set_epoch(2)
    later = list(loader)

    assert same(first, again)
    assert not same(first, later)
    assert same(later, list(share(Pixels(batch_size=4), 0, 1, epoch=2).train_dataloader()))


def test_a_trainer_sees_another_order_in_each_epoch_and_every_evaluation_image_once(tmp_path: Path) -> None:
    module, data = Recorder(), Pixels(batch_size=4, eval_batch_size=3, augmentation=CropFlip(1))
    runner = trainer(tmp_path, max_epochs=2)
    runner.fit(module, datamodule=data)
    runner.test(module, datamodule=data, verbose=False)

    # 22 images in batches of 4: 5 steps.
    assert [len(module.of_epoch(epoch)) for epoch in (0, 1)] == [5, 5]
    for epoch in (0, 1):
        alone = share(Pixels(batch_size=4, augmentation=CropFlip(1)), 0, 1, epoch=epoch)
        assert same(module.of_epoch(epoch), list(alone.train_dataloader()))
    assert not same(module.of_epoch(0), module.of_epoch(1))
    assert torch.cat(module.evaluated["val"]).tolist() == 2 * list(range(100, 107))
    assert torch.cat(module.evaluated["test"]).tolist() == list(range(100, 105))


def test_resuming_after_an_epoch_gives_the_batches_of_not_having_stopped(tmp_path: Path) -> None:
    def settings() -> Pixels:
        return Pixels(batch_size=4, seed=9, augmentation=CropFlip(1))

    whole = Recorder()
    trainer(tmp_path, max_epochs=3).fit(whole, datamodule=settings())
    first = trainer(tmp_path, max_epochs=1, enable_checkpointing=True)
    first.fit(Recorder(), datamodule=settings())
    first.save_checkpoint(tmp_path / "last.ckpt")
    torch.randn(10)  # whatever else happened in between
    rest = Recorder()
    trainer(tmp_path, max_epochs=3).fit(rest, datamodule=settings(), ckpt_path=tmp_path / "last.ckpt")

    assert not rest.of_epoch(0)
    assert same(rest.of_epoch(1), whole.of_epoch(1))
    assert same(rest.of_epoch(2), whole.of_epoch(2))


def test_limits_of_the_trainer_hold(tmp_path: Path) -> None:
    limited = Recorder()
    trainer(tmp_path, max_epochs=2, limit_train_batches=2, limit_val_batches=1).fit(
        limited, datamodule=Pixels(batch_size=4)
    )
    fast = Recorder()
    trainer(tmp_path, fast_dev_run=1).fit(fast, datamodule=Pixels(batch_size=4))

    assert [len(limited.of_epoch(epoch)) for epoch in (0, 1)] == [2, 2]
    assert not same(limited.of_epoch(0), limited.of_epoch(1))
    assert len(fast.trained) == 1


def test_each_split_is_loaded_once_and_only_where_it_is_needed() -> None:
    data = Pixels()
    data.setup("test")
    assert data.loads == ["test"]
    data.setup("fit")
    list(data.train_dataloader())
    data.split("val")
    assert data.loads == ["test", "train", "val"]
    assert data.split_indices("val").tolist() == list(range(100, 107))
    assert data.num_classes == 2


def test_checksum_is_the_sha256_of_the_bytes_and_moves_with_each_of_them() -> None:
    data = Pixels()
    split = data.split("val")
    content = b"".join(tensor.numpy().tobytes() for tensor in split if tensor is not None)
    assert data.checksum("val") == hashlib.sha256(content).hexdigest()

    sums = {data.checksum("val"), data.checksum("train")}
    for place, tensor in enumerate(split):
        changed = Pixels()
        altered = tensor.clone()
        altered[-1] = altered[-1] ^ 1
        if place == 2:
            altered[-1] += 1000
        changed.load = lambda name, place=place, altered=altered: Split(*split[:place], altered, *split[place + 1 :])
        sums.add(changed.checksum("val"))
    assert len(sums) == 2 + 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": torch.zeros(5, 3, 6, 6)},
            r"images of the test split must be uint8 \(N, C, H, W\), got torch.float32",
        ),
        ({"images": torch.zeros(0, 3, 6, 6, dtype=torch.uint8)}, "the test split holds no images"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, r"labels of the test split must be int64 \(5,\)"),
        ({"labels": torch.tensor([0, 1, 2, 0, 0])}, r"label 2 of image 102 in the test split is outside 0 ... 1"),
        ({"labels": torch.tensor([0, -2, 0, 0, 0])}, r"label -2 of image 101"),
        ({"indices": torch.zeros(5, dtype=torch.int64)}, "indices of the test split repeat"),
        ({"concepts": torch.zeros(5, 6, 6, dtype=torch.int16)}, "concepts of the test split must be int16"),
    ],
)
def test_rejects_a_split_that_does_not_fit(change: dict[str, Tensor], message: str) -> None:
    data = Pixels()
    wrong = data.load("test")._replace(**change)
    data.load = lambda name: wrong

    with pytest.raises(ValueError, match=message):
        data.setup("test")


def test_rejects_empty_batches() -> None:
    with pytest.raises(ValueError, match="eval_batch_size must be at least 1, got 0"):
        Pixels(eval_batch_size=0)
