"""Broden as a datamodule: what its batches hold, against a reader of plain loops; on real images too."""

import csv
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer

from advscope.batch import Batch
from advscope.concepts import Concept
from datamodules import Broden

CATEGORIES = ("color", "object", "part", "scene", "texture")


def small(root: Path, **settings: Any) -> Broden:
    return Broden(**{"root": str(root), "size": 8, "batch_size": 2, "eval_batch_size": 2, **settings})


def joined(data: Broden) -> Batch:
    """Return all test images as one batch."""
    data.setup("test")
    columns = zip(*data.test_dataloader(), strict=True)
    return Batch(*(None if parts[0] is None else torch.cat(parts) for parts in columns))


def by_loops(root: Path, categories: tuple[str, ...]) -> list[tuple[str, list[tuple[str, list[list[int]]]], list[int]]]:
    """Return each row's image, its masks with their categories, and its whole-image labels."""
    result = []
    with (root / "index.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            masks, whole = [], []
            for category in categories:
                for token in row[category].split(";") if row[category] else []:
                    if token.isdigit():
                        whole += [int(token)] if int(token) else []
                        continue
                    picture = Image.open(root / "images" / token)
                    width, height = picture.size
                    codes = [picture.getpixel((x, y)) for y in range(height) for x in range(width)]
                    numbers = [red + 256 * green for red, green, _ in codes]
                    masks.append((category, [numbers[y * width : (y + 1) * width] for y in range(height)]))
            result.append((row["image"], masks, whole))
    return result


def check_against_loops(root: Path, data: Broden, batch: Batch) -> None:
    """Compare every layer and label of every image with the plain reader's."""
    rows = by_loops(root, data.categories)
    assert batch.concepts is not None
    assert batch.image_concepts is not None
    for concepts, labels, index in zip(batch.concepts, batch.image_concepts, batch.indices.tolist(), strict=True):
        _, masks, whole = rows[index]
        expected = {place: torch.zeros_like(concepts[0]) for place in range(len(data.layers))}
        for category in set(data.layers):
            free = [place for place, layer in enumerate(data.layers) if layer == category]
            own = [numbers for name, numbers in masks if name == category]
            expected |= {place: torch.tensor(numbers) for place, numbers in zip(free, own, strict=False)}
        assert concepts.tolist() == [expected[place].tolist() for place in sorted(expected)]
        assert labels.tolist() == whole + [0] * (len(labels) - len(whole))


def test_batches_hold_what_the_tables_say(root: Path) -> None:
    data = small(root)
    batch = joined(data)

    check_against_loops(root, data, batch)
    assert data.categories == CATEGORIES
    assert data.layers == ("color", "object", "object", "part")
    assert batch.concepts.shape == (5, 4, 4, 6)
    assert batch.concepts.dtype == batch.image_concepts.dtype == torch.int16
    assert int(batch.concepts.max()) == 300  # more than 8 bits hold
    # Two textures, a scene of 0 that counts as none, and a part of the whole image beside a part's mask.
    assert batch.image_concepts.tolist() == [[5, 0], [7, 6], [2, 0], [5, 0], [6, 0]]
    assert batch.labels.tolist() == [-1] * 5
    assert batch.indices.tolist() == [0, 1, 2, 3, 4]
    assert batch.labels.dtype == batch.indices.dtype == torch.int64
    assert (data.class_names, data.num_classes) == ((), 0)


def test_images_keep_their_pixels_or_are_scaled_with_antialiasing(root: Path) -> None:
    exact, halved = joined(small(root)).images, joined(small(root, size=4)).images

    for index in (0, 1, 2, 4):
        pixels = np.array(Image.open(root / "images" / f"a/{index}.png"))
        assert torch.equal(exact[index] * 255, torch.from_numpy(pixels).permute(2, 0, 1).float())
        # Antialiased halving weighs four neighbours along each side, 1 3 3 1 (cut off and renormalised at the edges).
        weights = np.array([[0, 3, 3, 1], [1, 3, 3, 1], [1, 3, 3, 1], [1, 3, 3, 0]], float)
        along = np.zeros((4, 8))
        for place, row in enumerate(weights):
            for offset, weight in enumerate(row):
                if weight:
                    along[place, 2 * place - 1 + offset] = weight / row.sum()
        expected = np.einsum("ay,bx,yxc->cab", along, along, pixels.astype(float))
        assert np.abs(halved[index].numpy() * 255 - expected).max() <= 1.01  # rounded after each of the two directions
    # 5 x 7 pixels, stretched.
    reference = Image.open(root / "images" / "a/3.jpg").resize((8, 8), Image.Resampling.BILINEAR)
    assert torch.equal(exact[3] * 255, torch.from_numpy(np.array(reference)).permute(2, 0, 1).float())


def test_labels_have_the_category_of_largest_coverage_among_those_read(root: Path) -> None:
    assert small(root).concepts == (
        Concept(1, "red-c", "color"),
        Concept(2, "wheel", "object"),  # more often a part, but covers more as an object
        Concept(3, "tree", "object"),  # covers the same as both: the first category
        Concept(5, "street-s", "scene"),
        Concept(6, "dotted", "texture"),
        Concept(7, "striped", "texture"),
        Concept(300, "car", "object"),
    )
    assert small(root, categories=["texture", "part"]).concepts == (
        Concept(2, "wheel", "part"),
        Concept(3, "tree", "part"),
        Concept(6, "dotted", "texture"),
        Concept(7, "striped", "texture"),
    )


def test_loaders_know_the_names_of_the_concepts(root: Path) -> None:
    data = small(root, categories=["object", "scene"])
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert loader.concepts == data.concepts
        assert {concept.category for concept in loader.concepts} == {"object", "scene"}


@pytest.mark.parametrize("categories", [("object",), ("scene",), ("texture", "color"), ("part", "object", "scene")])
def test_any_categories_can_be_read_alone(root: Path, categories: tuple[str, ...]) -> None:
    whole, data = joined(small(root)), small(root, categories=categories)
    batch = joined(data)

    check_against_loops(root, data, batch)
    assert data.categories == tuple(name for name in CATEGORIES if name in categories)
    kept = [place for place, layer in enumerate(small(root).layers) if layer in categories]
    assert torch.equal(batch.concepts, whole.concepts[:, kept])
    assert torch.equal(batch.images, whole.images)
    # Tables of categories that are not read need not be there.
    for name in set(CATEGORIES) - set(categories):
        (root / f"c_{name}.csv").unlink()
    assert small(root, categories=categories).checksum("test") == data.checksum("test")


def test_a_split_keeps_the_rows_as_indices(root: Path) -> None:
    whole = joined(small(root))
    for split, rows in (("train", [0, 2, 4]), ("val", [1, 3])):
        data = small(root, split=split)
        batch = joined(data)
        assert batch.indices.tolist() == rows
        assert torch.equal(batch.images, whole.images[rows])
        assert all(data.split_indices(name).tolist() == rows for name in ("train", "val", "test"))
        check_against_loops(root, data, batch)
    # Layers are those of the chosen images: in val, one object each and no parts.
    assert small(root, split="val").layers == ("object",)


@pytest.mark.parametrize(
    "settings",
    [
        {"eval_batch_size": 1},
        {"eval_batch_size": 5},
        {"eval_batch_size": 3, "num_workers": 2, "start_method": "fork"},
        pytest.param({"num_workers": 1, "start_method": "spawn"}, marks=pytest.mark.slow),
    ],
)
def test_batch_size_and_workers_change_nothing(root: Path, settings: dict[str, Any]) -> None:
    state = torch.get_rng_state()
    expected, found = joined(small(root)), joined(small(root, **settings))

    assert all(one is other is None or torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_empty_batches_have_the_shapes_of_the_others(root: Path) -> None:
    data = small(root)
    places = torch.tensor([0, 1])
    whole, empty = data.loader("test", training=False).fetch((places, places[:0]), 0)

    for one, none in zip(whole, empty, strict=True):
        assert (one is None) == (none is None)
        assert one is None or (none.shape, none.dtype) == ((0, *one.shape[1:]), one.dtype)


def test_processes_share_the_images_without_repeats(root: Path) -> None:
    whole, seen = joined(small(root)), {}
    for rank in range(2):
        data = small(root)
        data.trainer = SimpleNamespace(current_epoch=0, global_rank=rank, world_size=2)
        batches = list(data.test_dataloader())
        assert len(batches) == len(data.test_dataloader())
        seen[rank] = [int(index) for batch in batches for index in batch.indices]
        for batch in batches:
            assert torch.equal(batch.concepts, whole.concepts[batch.indices])
    assert seen == {0: [0, 2, 4], 1: [1, 3]}


def test_training_shuffles_the_images_and_leaves_them_as_they_are(root: Path) -> None:
    whole, orders = joined(small(root)), set()
    loader = small(root).train_dataloader()
    for epoch in range(6):
        loader.set_epoch(epoch)
        batches = list(loader)
        assert [len(batch.indices) for batch in batches] == [2, 2]
        for batch in batches:
            assert torch.equal(batch.images, whole.images[batch.indices])
            assert torch.equal(batch.concepts, whole.concepts[batch.indices])
        orders.add(tuple(int(index) for batch in batches for index in batch.indices))
    assert len(orders) > 1


def test_a_trainer_tests_on_it(root: Path, tmp_path: Path) -> None:
    class Recorder(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Batch] = []

        def test_step(self, batch: Batch, batch_idx: int) -> None:
            self.seen.append(batch)

    module, quiet = Recorder(), {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(**quiet, accelerator="cpu", use_distributed_sampler=False, default_root_dir=tmp_path)
    trainer.test(module, datamodule=small(root), verbose=False)

    whole = joined(small(root))
    for field, expected in zip(zip(*module.seen, strict=True), whole, strict=True):
        assert expected is field[0] is None or torch.equal(torch.cat(field), expected)


def test_checksum_changes_with_what_is_read_and_not_with_the_rest(root: Path) -> None:
    before = small(root).checksum("test")
    assert before == small(root, size=4, eval_batch_size=1).checksum("val")
    assert (
        len({before, small(root, split="val").checksum("test"), small(root, categories=["scene"]).checksum("test")})
        == 3
    )

    index = (root / "index.csv").read_text()
    (root / "index.csv").write_text(index.replace("7;6", "6;7"))
    reordered = small(root).checksum("test")
    (root / "index.csv").write_text(index)
    (root / "images" / "a" / "4.png").write_bytes((root / "images" / "a" / "4.png").read_bytes() + b"\0")
    assert len({before, reordered, small(root).checksum("test")}) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "test"}, "split must be train, val or null for both, got 'test'"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"num_workers": -1}, "num_workers must not be negative, got -1"),
        ({"eval_batch_size": 0}, "eval_batch_size must be at least 1"),
    ],
)
def test_rejects_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(Path("nowhere"), **settings)


def test_real_images_are_read_as_plain_loops_read_them(shared: Path) -> None:
    root = shared / "data" / "broden" / "broden_mini_224"
    if not root.exists():
        pytest.skip("needs shared/data/broden/broden_mini_224, real images")
    # The plain reader takes its time: masks of 24 rows, from all three sources, are compared with it.
    data = Broden(str(root), eval_batch_size=40)
    batch = joined(data)
    some = torch.arange(0, 96, 4)
    part = batch.part(some)
    for index in some.tolist():
        assert int(batch.indices[index]) == index

    check_against_loops(root, data, part)
    assert data.layers == ("color", "object", "part", "part")
    assert batch.images.shape == (96, 3, 224, 224)
    for index in (0, 50, 95):
        name = by_index(root)[index]
        pixels = np.array(Image.open(root / "images" / name))
        assert torch.equal(batch.images[index] * 255, torch.from_numpy(pixels).permute(2, 0, 1).float())
    val = joined(Broden(str(root), split="val"))
    assert len(val.indices) == 25
    assert torch.equal(val.images, batch.images[val.indices])


def by_index(root: Path) -> list[str]:
    with (root / "index.csv").open(newline="") as file:
        return [row["image"] for row in csv.DictReader(file)]


def test_brodens_own_tables_give_its_labels(shared: Path) -> None:
    root = shared / "data" / "broden" / "broden1_224_tables"
    if not root.exists():
        pytest.skip("needs shared/data/broden/broden1_224_tables, Broden's own tables")
    concepts = Broden(str(root)).concepts

    coverage: dict[int, dict[str, float]] = {}
    for category in ("color", "object", "part", "material", "scene", "texture"):
        for row in csv.DictReader((root / f"c_{category}.csv").open(newline="")):
            coverage.setdefault(int(row["number"]), {})[category] = float(row["coverage"])
    names = {int(row["number"]): row["name"] for row in csv.DictReader((root / "label.csv").open(newline=""))}
    assert len(concepts) == 1197
    assert concepts == tuple(
        Concept(number, names[number], max(coverage[number], key=coverage[number].__getitem__))
        for number in sorted(names)
    )
    found = {concept.name: concept.category for concept in concepts}
    # label.csv names the category of highest frequency first, which is the part for a door and a mirror.
    assert (found["door"], found["mirror"], found["pot"]) == ("object", "object", "part")


def test_checksum_is_the_sha256_of_labels_rows_and_sizes(root: Path) -> None:
    data, digest = small(root, categories=["texture"], split="val"), hashlib.sha256()
    digest.update(b"((), 4, 6)(6, 'dotted', 'texture')(7, 'striped', 'texture')")
    sizes = [(root / "images" / name).stat().st_size for name in ("a/1.png", "a/3.jpg")]
    digest.update(f"(1, [(b'a/1.png', {sizes[0]})], [7, 6])(3, [(b'a/3.jpg', {sizes[1]})], [0, 0])".encode())

    assert data.checksum("test") == digest.hexdigest()
