"""The tables of published networks are of the images that they say, and do not depend on batches."""

import itertools
import math

import pytest
import torch
from torch import nn

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.measures import dissect
from benchmarks import inside_published_networks
from benchmarks.boopathy_networks import NAMES, boopathy_network
from benchmarks.inside_published_networks import (
    BIASED,
    DISSECTED,
    attacked_biases,
    exact_images,
    main,
    masked_accuracies,
    parts,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()


@pytest.fixture
def batch(network):
    """Return 70 images, every fifth of which has another label than the network says."""
    images = torch.rand(70, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = network(images).argmax(1)
    labels[::5] = (labels[::5] + 1) % 3
    return Batch(images, labels, torch.arange(100, 170))


def test_parts_are_the_whole_in_order(batch):
    sizes = [len(part.images) for part in parts(batch)]
    assert sizes == [64, 6]
    for place, field in enumerate(("images", "labels", "indices")):
        assert torch.equal(torch.cat([part[place] for part in parts(batch)]), getattr(batch, field))


def test_biases_are_of_images_that_are_right_and_fooled(network, batch, monkeypatch):
    class Inverted:
        """Turns the images of even index into others, of quite another brightness, and leaves the rest."""

        def __init__(self, *_, **__):
            pass

        def __call__(self, network, images, labels, indices):
            even = (indices % 2 == 0)[:, None, None, None]
            return torch.where(even, images / 8, images)

    monkeypatch.setattr(inside_published_networks, "PGD", Inverted)
    found = attacked_biases(network, batch, ("0", "4"))
    with torch.no_grad():
        right = network(batch.images).argmax(1) == batch.labels
        fooled = network(batch.images / 8).argmax(1) != batch.labels
        chosen = batch.images[right & fooled & (batch.indices % 2 == 0)]
        moved = (network[0](chosen / 8) - network[0](chosen)).flatten(1).double().norm(dim=1)
    assert len(chosen) > 3
    assert sorted(found) == sorted(
        f"{layer}/{kind}{end}" for layer, kind, end in itertools.product("04", ("raw", "relative"), ("", "_noise"))
    )
    assert found["0/raw"] == pytest.approx(moved.tolist(), rel=1e-5)
    assert all(value > 0 and math.isfinite(value) for value in found["4/raw_noise"])


def test_masking_begins_with_the_whole_network(network, batch):
    sky = (batch.images.mean(1, keepdim=True) > 0.5).short()
    images = Batch(batch.images, torch.full((70,), -1), batch.indices, concepts=sky)
    found = dissect(
        network, [images], ["0"], concepts=[Concept(1, "sky", "object")], attack=lambda _, x, *__, **___: x / 8
    )
    assert found["0"].sensitivity_estimates[0].n > 3
    lines = masked_accuracies(network, found, "0", batch).splitlines()
    assert lines[0].startswith("| order (n = 70) | masked |")
    assert lines[2].startswith("| none | 0 | 80.0 [")
    # A 32nd of 8 units is none; a half is masked in each of three orders.
    assert [line.split("|")[2].strip() for line in lines[3:]] == ["1", "2", "4"] * 3
    idle = dissect(network, [images], ["0"], concepts=[Concept(1, "sky", "object")], attack=lambda _, x, *__, **___: x)
    assert masked_accuracies(network, idle, "0", batch).splitlines()[2:] == [lines[2]]


def test_layers_are_there(shared):
    for name in NAMES:
        kind = name.partition("_")[0]
        modules = dict(boopathy_network(name, shared).named_modules())
        assert {*BIASED[kind], *DISSECTED[kind]} <= modules.keys()


def test_images_are_the_first_exact_ones(shared):
    batch = exact_images(shared, 5)
    assert batch.images.shape == (5, 3, 32, 32)
    assert batch.indices.tolist() == exact_images(shared, 9).indices[:5].tolist()
    with pytest.raises(ValueError, match="5000 images were asked for, and there are 1 to 1195"):
        exact_images(shared, 5000)


def test_what_is_missing_is_told_in_a_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--broden", str(tmp_path), "--shared", str(tmp_path / "nowhere")])
    assert "nowhere" in capsys.readouterr().err.splitlines()[-1]
