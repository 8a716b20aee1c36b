"""ConceptShapes: splits, cache and settings."""

import re
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules import ConceptShapes
from datamodules.concept_shapes import concept_shapes
from datamodules.rendering import CONCEPTS, SHAPES, render

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings(tmp_path):
    """Return the settings of a tiny data set with a cache."""
    return {
        "root": str(tmp_path / "cache"),
        "train": 40,
        "val": 20,
        "test": 30,
        "batch_size": 16,
        "eval_batch_size": 20,
    }


def equal(one, other):
    """Return whether two splits are bit-identical."""
    return all(a is b is None or torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def no_rendering(monkeypatch):
    """Return a function after whose call rendering is an error."""

    def refuse(*_):
        raise AssertionError("rendered, though the cache is intact")

    return lambda: monkeypatch.setattr(concept_shapes, "render_split", refuse)


def test_batches_hold_what_the_renderer_gives(settings):
    data = ConceptShapes(**settings, pattern_strength=4)
    batches = list(data.test_dataloader())
    assert [len(batch.labels) for batch in batches] == [20, 10]
    images = torch.cat([batch.images for batch in batches])
    rendered = render(0, np.arange(30) + 20_000_000, 32, 4)
    assert torch.equal(images, torch.from_numpy(rendered.images).float() / 255)
    assert torch.equal(torch.cat([batch.concepts for batch in batches]), torch.from_numpy(rendered.concepts))
    assert torch.equal(
        torch.cat([batch.image_concepts for batch in batches]), torch.from_numpy(rendered.image_concepts)
    )
    assert torch.cat([batch.labels for batch in batches]).tolist() == [*range(10)] * 3
    assert data.num_classes == 10
    assert data.class_names == tuple(SHAPES)


def test_splits_share_no_picture(settings):
    data = ConceptShapes(**settings)
    splits = [data.split(name) for name in ("train", "val", "test")]
    assert [len(split.labels) for split in splits] == [40, 20, 30]
    indices = torch.cat([split.indices for split in splits])
    assert len(indices.unique()) == 90
    assert len({picture.numpy().tobytes() for split in splits for picture in split.images}) == 90


def test_a_longer_split_begins_with_the_shorter_one(settings):
    short = ConceptShapes(**settings).split("train")
    long = ConceptShapes(**{**settings, "train": 60}).split("train")
    assert torch.equal(long.images[:40], short.images)


def test_only_annotated_splits_come_with_concepts(settings):
    data = ConceptShapes(**settings, annotated=("train",))
    assert data.split("train").concepts.shape == (40, 5, 32, 32)
    assert data.split("test").concepts is None
    assert data.split("test").image_concepts is None


def test_the_cache_gives_what_was_rendered(settings, no_rendering):
    first = ConceptShapes(**settings)
    first.prepare_data()
    splits = {name: first.split(name) for name in ("train", "val", "test")}
    no_rendering()
    second = ConceptShapes(**settings)
    assert all(equal(second.split(name), split) for name, split in splits.items())
    assert second.checksum("test") == first.checksum("test")


def test_without_a_root_nothing_is_written(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ConceptShapes(**{**settings, "root": None})
    data.prepare_data()
    assert equal(data.split("test"), ConceptShapes(**settings).split("test"))
    assert data.cache_file("test") is None
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]  # of the second data set, which has a root


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("size", 48),
        ("pattern_strength", 4.0000001),
        ("render_seed", 1),
        ("test", 31),
        ("annotated", ()),
    ],
)
def test_every_setting_that_changes_a_split_has_its_own_file(settings, setting, value):
    one, other = ConceptShapes(**settings), ConceptShapes(**{**settings, setting: value})
    assert one.cache_file("test") != other.cache_file("test")
    assert one.cache_file("test") != one.cache_file("val")


def test_another_renderer_does_not_meet_the_old_cache(settings, monkeypatch):
    data = ConceptShapes(**settings)
    before = data.cache_file("test")
    monkeypatch.setattr(concept_shapes, "fingerprint", lambda: "f" * 64)
    assert data.cache_file("test") != before


def flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"no archive at all",
    ],
    ids=["a bit flipped", "cut off", "empty", "another file"],
)
def test_a_damaged_cache_is_rendered_anew(settings, damage, no_rendering):
    data = ConceptShapes(**settings)
    intact = data.split("test")
    path = data.cache_file("test")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{re.escape(str(path))} is damaged \(.+\): rendering it anew"):
        assert equal(ConceptShapes(**settings).split("test"), intact)
    no_rendering()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(ConceptShapes(**settings).split("test"), intact)


def test_a_consistent_file_of_other_settings_is_refused(settings):
    other = ConceptShapes(**settings, render_seed=1)
    other.split("test")
    data = ConceptShapes(**settings)
    other.cache_file("test").rename(data.cache_file("test"))
    with pytest.warns(UserWarning, match="its checksum is another one"):
        assert not equal(data.split("test"), other.split("test"))


def test_a_pickle_in_the_cache_is_never_loaded(settings):
    data = ConceptShapes(**settings)
    data.split("test")
    path = data.cache_file("test")
    np.savez(path, **{name: np.array([{}], object) for name in ("images", "labels", "concepts", "image_concepts")})
    with pytest.warns(UserWarning, match="is damaged .*allow_pickle=False"):
        ConceptShapes(**settings).split("test")


def test_several_may_write_the_cache_at_once(settings):
    splits, start = [], threading.Barrier(4)

    def load():
        start.wait()
        splits.append(ConceptShapes(**settings).load("test"))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(splits) == 4
    assert all(equal(split, splits[0]) for split in splits)
    assert [path.suffix for path in Path(settings["root"]).iterdir()] == [".npz"]


def test_a_write_that_fails_leaves_nothing_behind(settings, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(concept_shapes.np, "savez", full)
    with pytest.raises(OSError, match="no space left"):
        ConceptShapes(**settings).split("test")
    assert list(Path(settings["root"]).iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("train", 0, "train must be 1 ... 10,000,000 images, got 0"),
        ("test", 10_000_001, "test must be 1 ... 10,000,000 images, got 10000001"),
        ("annotated", ("test", "trian"), "annotated must name splits among train, val and test, got trian"),
        ("size", 15, "size must be at least 16 pixels, got 15"),
        ("pattern_strength", -0.5, r"pattern_strength must be 0 ... 255 \(in 1/255\), got -0.5"),
        ("batch_size", 0, "batch_size must be at least 1, got 0"),
    ],
)
def test_refuses_settings_by_name(settings, setting, value, message):
    with pytest.raises(ValueError, match=message):
        ConceptShapes(**{**settings, setting: value})


def test_the_card_names_every_label_with_its_number():
    card = (ROOT / "docs" / "concept_shapes.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `([^`]+)` \| (\w+) \|", card, re.MULTILINE)
    assert [(int(number), name, category) for number, name, category in rows] == [tuple(label) for label in CONCEPTS]


def test_loaders_know_the_names_of_the_concepts() -> None:
    data = ConceptShapes(root=None, train=4, val=2, test=2, batch_size=2)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert loader.concepts == CONCEPTS
