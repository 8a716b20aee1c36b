"""Tests of images in class folders: a miniature of ILSVRC2012, and real pictures where they are at hand."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

from advscope.batch import Batch
from datamodules import ImageNet

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "imagenet"
SYNSETS = ("n01440764", "n01443537", "n02084071")


@pytest.fixture
def root(ilsvrc: Path) -> Path:
    """Three synsets with ten training and two test images each, of different sizes."""
    return ilsvrc


def small(root: Path, **settings: Any) -> ImageNet:
    return ImageNet(**{"root": str(root), "batch_size": 8, "eval_batch_size": 4, "size": 32, "resize": 36, **settings})


def by_index(batches: list[Batch]) -> dict[int, Tensor]:
    return {int(i): image for batch in batches for i, image in zip(batch.indices, batch.images, strict=True)}


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(left, right)
        for a, b in zip(one, other, strict=True)
        for left, right in zip(a[:3], b[:3], strict=True)
    )


def test_the_size_of_the_images_is_known_before_any_is_read(root: Path) -> None:
    assert small(root).image_size == (32, 32)


def test_evaluation_gives_torchvisions_pixels_for_each_file(root: Path) -> None:
    data = small(root)
    data.setup("test")
    batches = list(data.test_dataloader())
    paths = sorted((root / "val").rglob("*.JPEG"))
    reference = Compose([Resize(36), CenterCrop(32), PILToTensor()])

    images = torch.cat([batch.images for batch in batches])
    indices = torch.cat([batch.indices for batch in batches])
    expected = torch.stack([reference(Image.open(paths[index])) for index in indices.tolist()])
    assert torch.equal(images * 255, expected.float())
    assert indices.tolist() == data.split_indices("test").tolist()
    assert sorted(indices.tolist()) == list(range(6))
    assert torch.cat([batch.labels for batch in batches]).tolist() == (indices // 2).tolist()
    assert [len(batch.labels) for batch in batches] == [4, 2]
    assert batches[0].images.dtype == torch.float32
    assert batches[0].images.is_contiguous(memory_format=torch.channels_last)


def test_validation_images_are_held_out_of_training(root: Path) -> None:
    data, other = small(root), small(root, seed=5)
    train, val = data.split_indices("train"), data.split_indices("val")

    assert (len(train), len(val)) == (27, 3)
    assert sorted(torch.cat([train, val]).tolist()) == list(range(30))
    assert torch.equal(val, other.split_indices("val"))
    assert len(small(root, validation_images=7).split_indices("val")) == 7
    assert torch.cat([batch.indices for batch in data.val_dataloader()]).tolist() == val.tolist()
    labels = torch.cat([batch.labels for batch in data.val_dataloader()])
    assert labels.tolist() == (val // 10).tolist()


def test_training_images_depend_on_seed_epoch_and_index_alone(root: Path) -> None:
    state = torch.get_rng_state()
    whole, parts, seeds = small(root, batch_size=27), small(root, batch_size=5), small(root, batch_size=27, seed=1)
    images = by_index(list(whole.train_dataloader()))
    later_loader = whole.train_dataloader()
    later_loader.set_epoch(1)

    assert len(images) == 27
    assert all(torch.equal(image, images[index]) for index, image in by_index(list(parts.train_dataloader())).items())
    for others in (by_index(list(later_loader)), by_index(list(seeds.train_dataloader()))):
        assert sum(torch.equal(image, images[index]) for index, image in others.items()) < 3
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("start_method", "num_workers", "epochs"),
    [("fork", 2, (0, 1)), pytest.param("spawn", 1, (3,), marks=pytest.mark.slow)],
)
def test_worker_processes_change_nothing(
    root: Path, start_method: str, num_workers: int, epochs: tuple[int, ...]
) -> None:
    state = torch.get_rng_state()
    alone = small(root).train_dataloader()
    shared = small(root, num_workers=num_workers, start_method=start_method).train_dataloader()

    for epoch in epochs:
        alone.set_epoch(epoch)
        shared.set_epoch(epoch)
        assert same(list(alone), list(shared))
        assert len(shared) == 3
    assert torch.equal(torch.get_rng_state(), state)


def test_processes_share_the_images_without_repeats(root: Path) -> None:
    ranks = [small(root, batch_size=4) for _ in range(4)]
    for rank, data in enumerate(ranks):
        data.trainer = SimpleNamespace(current_epoch=2, global_rank=rank, world_size=4)

    tested = [[int(i) for batch in data.test_dataloader() for i in batch.indices] for data in ranks]
    trained = [[int(i) for batch in data.train_dataloader() for i in batch.indices] for data in ranks]

    order = small(root).split_indices("test").tolist()
    assert tested == [[order[0], order[4]], [order[1], order[5]], [order[2]], [order[3]]]
    # 27 images: 6 for each process, of which one batch of 4.
    assert [len(indices) for indices in trained] == [4, 4, 4, 4]
    assert len({index for indices in trained for index in indices}) == 16


class Recorder(LightningModule):
    """A linear network that keeps the batches it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
        self.trained: list[tuple[int, Batch]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.trained.append((self.current_epoch, batch))
        return nn.functional.cross_entropy(self.network(batch.images), batch.labels)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log(
            "loss", nn.functional.cross_entropy(self.network(batch.images), batch.labels), batch_size=len(batch.labels)
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_trainer_runs_through_it(root: Path, tmp_path: Path, num_workers: int) -> None:
    module, data = Recorder(), small(root, num_workers=num_workers)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    Trainer(**quiet, accelerator="cpu", max_epochs=2, use_distributed_sampler=False, default_root_dir=tmp_path).fit(
        module, datamodule=data
    )

    for epoch in (0, 1):
        loader = small(root).train_dataloader()
        loader.set_epoch(epoch)
        assert same([batch for number, batch in module.trained if number == epoch], list(loader))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_image_is_one_line_that_names_it(tmp_path: Path, num_workers: int) -> None:
    for name in ("a/1.jpg", "b/1.jpg"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / name)
    (tmp_path / "b" / "1.jpg").write_bytes(b"broken")

    with pytest.raises(ValueError, match=r"b/1.jpg is no readable image") as raised:
        list(small(tmp_path, num_workers=num_workers).test_dataloader())

    assert "\n" not in str(raised.value)


def test_a_classes_file_numbers_and_names_the_classes(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("n02084071 dog\nn00000001 unused\nn01443537 goldfish\nn01440764 tench\n")
    data = small(root, classes=str(path))

    assert data.class_names == ("dog", "unused", "goldfish", "tench")
    assert data.num_classes == 4
    assert data.files("test").labels.tolist() == [3, 3, 2, 2, 0, 0]
    labels = data.files("test").labels[data.split_indices("test")]
    assert torch.equal(data.classes_of("test"), labels)
    assert torch.equal(torch.cat([batch.labels for batch in data.test_dataloader()]), labels)
    assert small(root).class_names == SYNSETS


def test_class_folders_without_parts_are_all_test_set(root: Path) -> None:
    data = small(root / "val")
    data.setup("test")

    assert data.class_names == SYNSETS
    assert sorted(data.split_indices("test").tolist()) == list(range(6))
    with pytest.raises(FileNotFoundError, match="train is missing: training needs a root with train/ and val/"):
        data.setup("fit")


def test_a_test_folder_with_other_classes_or_none_is_refused(root: Path, tmp_path: Path) -> None:
    for name in ("train/a/1.jpg", "train/b/1.jpg", "train/b/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((root / "val" / SYNSETS[0] / f"{SYNSETS[0]}_0.JPEG").read_bytes())
    with pytest.raises(FileNotFoundError, match="val is missing"):
        small(tmp_path).setup("test")
    (tmp_path / "val" / "c").mkdir(parents=True)
    (tmp_path / "val" / "c" / "1.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="c is no known class"):
        small(tmp_path).setup("test")
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        small(tmp_path / "nowhere").setup("fit")


def test_checksum_is_over_paths_sizes_and_labels(root: Path) -> None:
    data = small(root)
    paths = sorted((root / "val").rglob("*.JPEG"))
    digest = hashlib.sha256()
    for path in (paths[place] for place in data.split_indices("test").tolist()):
        relative = path.relative_to(root / "val").as_posix()
        digest.update(f"{relative}\0{path.stat().st_size}\0{SYNSETS.index(path.parent.name)}\n".encode())

    assert data.checksum("test") == digest.hexdigest()
    assert len({data.checksum(name) for name in ("train", "val", "test")}) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 64, "resize": 32}, r"size must be in 1 ... resize \(32\), got 64"),
        ({"min_crop_area": 0.0}, "min_crop_area must be in"),
        ({"interpolation": "nearest"}, "interpolation must be bilinear or bicubic, got nearest"),
        ({"num_workers": -1}, "num_workers must not be negative"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_rejects_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(Path("."), **settings)


def test_rejects_holding_out_everything(root: Path) -> None:
    with pytest.raises(ValueError, match="30 validation images cannot be held out of 30 training images"):
        small(root, validation_images=30).setup("fit")


def test_evaluation_scales_by_eight_sevenths_by_default() -> None:
    assert ImageNet("somewhere").preprocessing[:2] == (224, 256)
    assert ImageNet("somewhere", size=299).preprocessing[:2] == (299, 342)


@pytest.mark.skipif(not SAMPLES.exists(), reason="needs shared/data/imagenet, real pictures")
def test_real_pictures_carry_the_official_class_numbers() -> None:
    official = (SAMPLES / "imagenet_synsets.txt").read_text().split()
    data = ImageNet(str(SAMPLES / "samples_256"), eval_batch_size=8)
    named = ImageNet(str(SAMPLES / "samples_256"), classes=str(SAMPLES / "imagenet_class_index.json"))
    batch = next(iter(data.test_dataloader()))
    reference = Compose([Resize(256), CenterCrop(224), PILToTensor()])
    paths = sorted((SAMPLES / "samples_256").rglob("*.JPEG"))

    assert list(data.class_names) == official
    assert torch.equal(data.files("test").labels, torch.arange(1000))
    assert torch.equal(named.files("test").labels, torch.arange(1000))
    assert named.class_names[:2] == ("tench", "goldfish")
    assert torch.equal(batch.labels, batch.indices)
    expected = torch.stack([reference(Image.open(paths[index]).convert("RGB")) for index in batch.indices.tolist()])
    assert torch.equal(batch.images * 255, expected.float())


def test_the_test_order_is_one_permutation_that_no_setting_changes(root: Path) -> None:
    order = ImageNet("anywhere").test_order(50_000)

    assert torch.equal(order.sort().values, torch.arange(50_000))
    # Of the first 1,000 images of 1,000 classes of 50, some 637 classes are expected (1 - (1 - 1/1000) ** 1000).
    assert 600 < len((order[:1000] // 50).unique()) < 670
    others = [small(root, seed=7), small(root, eval_batch_size=1), small(root, size=24), small(root, subset_seed=3)]
    assert all(torch.equal(data.split_indices("test"), small(root).split_indices("test")) for data in others)


def test_a_subset_keeps_indices_numbers_pixels_and_order(root: Path) -> None:
    whole, data = small(root), small(root, subset_classes=["n01440764", "n02084071"], images_per_class=4)
    images = by_index(list(whole.test_dataloader()))

    assert data.class_names == whole.class_names
    tested = by_index(list(data.test_dataloader()))
    assert list(tested) == [index for index in whole.split_indices("test").tolist() if index // 2 != 1]
    assert all(torch.equal(image, images[index]) for index, image in tested.items())
    assert data.classes_of("test").tolist() == [index // 2 for index in tested]
    both = torch.cat([data.classes_of("train"), data.classes_of("val")])
    assert both.bincount().tolist() == [4, 0, 4]
    # A tenth of the subset, and at least one.
    assert len(data.classes_of("val")) == 1
    batches = [(int(i), int(label)) for batch in data.val_dataloader() for i, label in zip(*batch[2:0:-1], strict=True)]
    assert batches == [(int(i), int(i) // 10) for i in data.split_indices("val")]


def test_a_number_of_classes_is_the_same_for_all_splits_and_training_seeds(root: Path) -> None:
    chosen = [small(root, subset_classes=1, seed=seed) for seed in (0, 1)]
    kept = {int(label) for data in chosen for name in ("train", "val", "test") for label in data.classes_of(name)}
    drawn = {int(small(root, subset_classes=1, subset_seed=seed).classes_of("test")[0]) for seed in range(20)}

    assert len(kept) == 1
    assert drawn == {0, 1, 2}
    assert small(root, subset_classes=1).checksum("test") != small(root).checksum("test")


def trained_by(data: ImageNet, network: nn.Module) -> ImageNet:
    """The data as a trainer has them while it trains a network."""
    data.trainer = SimpleNamespace(
        current_epoch=0, global_rank=0, world_size=1, lightning_module=SimpleNamespace(network=network)
    )
    return data


class OfSize(nn.Sequential):
    """A linear network of five classes that states its preprocessing."""

    preprocessing = SimpleNamespace(size=24, resize=30, interpolation="bicubic")

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(3 * 24 * 24, 5))


def test_null_is_the_networks_own_preprocessing(root: Path) -> None:
    data = trained_by(ImageNet(str(root), eval_batch_size=6), OfSize())
    data.setup("test")
    explicit = ImageNet(str(root), eval_batch_size=6, size=24, resize=30, interpolation="bicubic")

    assert data.image_size == (24, 24)
    assert same(list(data.test_dataloader()), list(explicit.test_dataloader()))
    assert trained_by(small(root), OfSize()).preprocessing[:3] == (32, 36, "bilinear")
    assert trained_by(ImageNet(str(root)), nn.Linear(1, 1)).image_size == (224, 224)


def test_classes_that_the_network_does_not_know_are_said_at_setup(root: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    with pytest.raises(
        ValueError, match=r"2 of 6 images have a class that the network does not know.* classes 0 ... 1"
    ):
        trained_by(small(root), network).setup("test")
    trained_by(small(root, subset_classes=["n01440764", "n01443537"]), network).setup("test")
    with pytest.raises(ValueError, match="class 2: the network has the 2 classes"):
        Trainer(logger=False, enable_progress_bar=False, accelerator="cpu", enable_checkpointing=False).fit(
            SmallRecorder(network), datamodule=small(root)
        )


class SmallRecorder(Recorder):
    """The recorder with another network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subset_classes": 0}, "subset_classes must be at least 1, or null for all, got 0"),
        ({"images_per_class": -2}, "images_per_class must be at least 1, or null for all, got -2"),
        ({"broken": "ignore"}, "broken must be stop or skip, got ignore"),
    ],
)
def test_rejects_settings_of_subsets_and_broken_files(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(Path("."), **settings)


def test_subsets_that_cannot_be_are_one_line_at_setup(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"subset_classes must be in 1 ... 3 \(the number of classes\), got 4"):
        small(root, subset_classes=4).setup("test")
    with pytest.raises(ValueError, match="there is no class 'n0208407'; the nearest are n02084071"):
        small(root, subset_classes=["n0208407"]).setup("test")
    path = tmp_path / "classes.txt"
    path.write_text("n02084071\nn00000001\nn01443537\nn01440764\n")
    with pytest.raises(ValueError, match="val holds no image of 1 of the 1 chosen classes, the first of them class 1"):
        small(root, classes=str(path), subset_classes=["n00000001"]).setup("test")
