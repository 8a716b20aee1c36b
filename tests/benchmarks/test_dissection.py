"""The benchmark of dissection: its peer is right, its inputs are as they are said to be, and its parts run."""

import json
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from advscope.concepts import Concept
from advscope.frozen import MicroBatched
from advscope.measures import dissect
from benchmarks import dissection, dissection_inputs, dissection_memory, dissection_processes
from benchmarks.dissection import Plain, differences, our_tally, our_thresholds, repeats, tally, units
from benchmarks.dissection_inputs import LAYERS, Activations, Generated, annotations, layer_activations, rendered, table
from benchmarks.dissection_memory import peak
from benchmarks.dissection_processes import equal, scaling
from benchmarks.dissection_runs import end_to_end, ours, plain
from benchmarks.plain_dissection import QuantileSketch, categories_of, plain_tally, plain_thresholds


@pytest.fixture(autouse=True)
def no_test_data(monkeypatch, tmp_path):
    """Have every part run as in a checkout without test data: what is measured there must not break either."""
    monkeypatch.setattr(dissection_inputs, "SHARED", tmp_path / "shared")


def activations(count=5, number=6, side=5, size=16) -> Activations:
    generator = torch.Generator().manual_seed(1)
    maps = interpolate(torch.randn(count, number, 3, 3, generator=generator), (side, side), mode="bilinear").relu()
    labels, whole = annotations(count, size)
    return Activations(maps.contiguous(memory_format=torch.channels_last), labels, whole, table(), "fields")


def test_a_sketch_that_was_never_full_is_exact():
    values = np.random.default_rng(0).normal(size=(3, 700))
    for quantile, above in ((0.05, 35), (0.29, 203)):  # 0.29 of 700 is 202.99999999999997 in floating point
        found = plain_thresholds([values[:, None, :, None].transpose(1, 0, 2, 3)], quantile)
        assert found.tolist() == np.sort(values, axis=1)[:, -1 - above].tolist()


def test_a_sketch_that_overflows_keeps_weights_and_errs_little():
    values = np.random.default_rng(1).normal(size=(4, 20_000))
    sketch = QuantileSketch(resolution=512)
    for part in np.array_split(values, 37, axis=1):
        sketch.add(part)
    weight = sum((1 << level) * part.shape[1] for level, parts in enumerate(sketch.levels) for part in parts)
    assert weight == sketch.values == 20_000
    assert len(sketch.levels) > 3
    assert all(sum(part.shape[1] for part in parts) < 512 for parts in sketch.levels)
    for quantile in (0.05, 0.5):
        shares = (values > sketch.top(quantile)[:, None]).mean(1)
        assert np.abs(shares - quantile).max() < 0.01
        assert (shares != quantile).any()  # it is a sketch


def test_the_plain_tally_counts_as_loops_do():
    given = activations()
    limits = np.quantile(given.maps.numpy(), 0.7, axis=(0, 2, 3)).astype(np.float64)
    categories = categories_of(given.concepts)
    found = plain_tally(
        given.maps.double().numpy(), limits, given.labels.long().numpy(), given.whole.long().numpy(), categories
    )
    masks = interpolate(given.maps.double(), (16, 16), mode="bilinear") > torch.from_numpy(limits)[:, None, None]
    met, by_category = np.zeros_like(found.met), np.zeros_like(found.category_areas)
    for image, image_masks in enumerate(masks):
        for unit, mask in enumerate(image_masks):
            counts = {int(given.whole[image, 0]): int(mask.sum())}
            for layer in given.labels[image]:
                for label in layer[mask].tolist():
                    counts[label] = counts.get(label, 0) + 1
            for label, count in counts.items():
                met[unit, label] += count * (label > 0)
            for category in {categories[label] for label, count in counts.items() if label and count}:
                by_category[unit, category] += int(mask.sum())
    assert found.areas.tolist() == masks.sum((0, 2, 3)).tolist()
    assert (found.met[:, 1:] == met[:, 1:]).all()
    assert (found.category_areas == by_category).all()
    numbers, counts = torch.cat([given.labels.flatten(), given.whole.repeat_interleave(256)]).unique(return_counts=True)
    assert found.label_areas[numbers[1:]].tolist() == counts[1:].tolist()
    union = by_category[:, categories] + found.label_areas - met
    assert np.allclose(found.iou(categories)[:, 1:], (met / np.maximum(union, 1))[:, 1:], rtol=1e-12)


def test_both_ways_agree_and_a_difference_is_seen():
    given = activations(count=9, number=8, side=7, size=32)
    parts = given.maps.split(4)
    limits = our_thresholds(parts, 0.2)
    peers = plain_thresholds([maps.double().numpy() for maps in parts], 0.2)
    found = differences(given, limits, peers, 0.2)
    assert found["mask_pixels"] > 1000
    assert {key: value for key, value in found.items() if "differ" in key} == dict.fromkeys(
        (key for key in found if "differ" in key), 0
    )
    # Masks that meet no label of a category count in ours, not in the plain procedure.
    ours_, theirs = our_tally(given, limits), Plain(given).tally(limits.double().numpy())
    assert (ours_.category_areas.sum(0) >= torch.from_numpy(theirs.category_areas)).all()
    assert differences(given, limits, peers + 1e-3, 0.2)["thresholds_that_differ"] == 8
    doubled = given._replace(labels=torch.cat([given.labels, given.labels[:, :1]], 1))
    assert differences(doubled, limits, peers, 0.2)["largest_difference_of_a_concept"] > 0


def test_categories_are_those_of_the_numbers():
    concepts = [Concept(4, "a", "part"), Concept(2, "b", "color"), Concept(5, "c", "part")]
    assert categories_of(concepts)[[4, 2, 5]].tolist() == [0, 1, 0]


def test_annotations_are_like_brodens():
    concepts = table()
    assert (len(concepts), [each.number for each in concepts]) == (1197, list(range(1, 1198)))
    labels, whole = annotations(6)
    assert labels.shape == (6, 6, 112, 112)
    for image, scene in zip(labels, whole, strict=True):
        on_layers = [set(layer.unique().tolist()) - {0} for layer in image]
        assert len(set.union(*on_layers)) == sum(map(len, on_layers))  # none on two layers
        assert sum(map(len, on_layers)) <= sum(number for _, number in LAYERS) == 20
        for found, (category, _) in zip(on_layers, LAYERS, strict=True):
            assert {concepts[label - 1].category for label in found} == {category}
        assert concepts[scene - 1].category == "scene"
    assert 15 < np.mean([len(image.unique()) - 1 for image in labels]) <= 20
    assert 0.1 < float((labels == 0).float().mean()) < 0.6
    assert torch.equal(annotations(2, first=4)[0], labels[4:])


def test_generated_images_are_the_same_in_every_pass():
    batches = Generated(5, 2)
    first, second = list(batches), list(batches)
    assert [len(batch.images) for batch in first] == [2, 2, 1]
    assert torch.cat([batch.indices for batch in first]).tolist() == [0, 1, 2, 3, 4]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.concepts, other.concepts)
    assert first[0].images.shape == (2, 3, 224, 224)


def test_units_are_tiled_without_repeating_one():
    given = layer_activations(200, 8, 2)
    assert given.maps.shape == (2, 200, 8, 8)
    assert given.maps.is_contiguous(memory_format=torch.channels_last)
    alive = given.maps.amax((0, 2, 3)) > 0
    flat = given.maps.transpose(0, 1).flatten(1)[alive]
    assert len(flat.unique(dim=0)) == len(flat) > 100
    with pytest.raises(ValueError, match="the layer's 64 units make at most 256, got 257"):
        layer_activations(257, 8, 2)


def test_thresholds_are_taken_until_the_buffer_has_been_full_twice():
    given = activations(count=5, side=5)
    assert repeats(given) * 5 * 25 >= 2 * 24 * 1024 > (repeats(given) - 1) * 5 * 25


def test_the_tally_part_compares_and_times_both_ways():
    (page,) = tally([(64, 8)], [0.1], images=3, rounds=1).values()
    assert page["images_for_thresholds"] * 64 >= 2 * 24 * 1024
    speeds = {name: speed["median"] for name, speed in page["images_per_second"].items()}
    assert speeds["both"] < min(speeds["thresholds"], speeds["tally"])
    both = 1 / (1 / speeds["thresholds, plain"] + 1 / speeds["tally, plain"])
    assert speeds["both, plain"] == pytest.approx(both, rel=0.05)
    agreement = page["agreement"]
    assert agreement["mask_pixels"] > 0
    assert agreement["mask_pixels_that_differ"] <= agreement["mask_pixels"] / 1000
    assert agreement["largest_difference_of_a_concept"] == 0


def test_the_units_part_gives_each_number_its_cost():
    page = units([4, 8], images=2, rounds=1)
    assert page["source"] == "random fields"
    for number, row in page["units"].items():
        cost = row["ms_per_image"]["thresholds"] + row["ms_per_image"]["tally"]
        assert row["us_per_image_and_unit"] == pytest.approx(1e3 * cost / int(number), rel=0.02)


def test_the_plain_procedure_finds_the_masks_that_a_dissection_finds():
    given = rendered(16)
    for attacked in (False, True):
        (found, ending), peer = ours(given, given.layers[-2:], attacked), plain(given, given.layers[-2:], attacked)
        assert 0 < ending < 60
        assert list(peer) == list(found) == list(given.layers[-2:])
        for layer, tallies in peer.items():
            assert len(tallies) == 1 + attacked
            areas = torch.from_numpy(tallies[0].areas)
            assert int(areas.sum()) > 1000
            assert (found[layer].areas - areas).abs().max() <= 0.001 * areas.max()
        if attacked:
            assert all(not np.array_equal(*(each.met for each in tallies)) for tallies in peer.values())


def test_the_end_to_end_part_runs_one_layer_and_five():
    page = end_to_end(images=4, attacked=2, rounds=1)
    assert list(page) == ["1 layers, no attack", "5 layers, no attack", "1 layers, PGD-10", "5 layers, PGD-10"]
    assert [row["n"] for row in page.values()] == [4, 4, 2, 2]
    for row in page.values():
        speeds = {way: speed["median"] for way, speed in row["images_per_second"].items()}
        passes = row["n"] / speeds["ours"] - row["seconds_after_the_last_image"]
        # Seconds are written with two digits.
        assert row["n"] / speeds["ours, passes"] == pytest.approx(passes, abs=0.02)
        assert row["times_as_fast"]["ours, passes"] > row["times_as_fast"]["ours"] > 0


def test_a_process_dissects_its_share_and_leaves_the_table(tmp_path):
    dissection_processes.work(0, 1, 6, str(tmp_path))
    seconds, found = torch.load(tmp_path / "0.pt", weights_only=False)
    assert seconds > 0
    given = rendered(6)
    again = dissect(MicroBatched(given.network, 16), given.batches(16), given.layers[-1:], concepts=given.concepts)
    assert equal(found, again)


def test_two_processes_are_compared_with_one_by_the_slowest(monkeypatch):
    tables = {1: [{"a": torch.ones(2)}], 2: [{"a": torch.ones(2)}, {"a": torch.ones(2)}]}
    times = {1: iter([[4.0], [6.0], [5.0]]), 2: iter([[2.0, 2.5], [4.0, 1.0], [1.0, 2.0]])}
    monkeypatch.setattr(
        dissection_processes,
        "dissected",
        lambda processes, images: list(zip(next(times[processes]), tables[processes], strict=True)),
    )
    page = scaling(images=10, rounds=3)
    assert page["seconds"] == {1: 5.0, 2: 2.5}
    assert (page["times_as_fast"], page["tables"], page["tables_equal"]) == (2.0, 9, True)
    tables[2][1]["a"] = torch.tensor([1.0, 1.5])
    times.update({1: iter([[4.0]]), 2: iter([[2.0, 2.5]])})
    assert not scaling(images=10, rounds=1)["tables_equal"]


def test_tables_that_differ_in_one_place_are_not_equal():
    one = {"a": (torch.tensor([1.0, torch.nan]), float("nan")), "b": ["x", 1]}
    same = {"a": (torch.tensor([1.0, torch.nan]), float("nan")), "b": ["x", 1]}
    assert equal(one, same)
    for other in (
        {**same, "b": ["x", 2]},
        {**same, "a": (torch.tensor([1.0, torch.nan]), 0.0)},
        {**same, "a": (torch.tensor([1.0, -1.0]), float("nan"))},
        {"a": same["a"]},
    ):
        assert not equal(one, other)


def test_the_peak_is_that_of_this_process():
    # More than ever was in use here: what is in use now, and what the peak is above it, and 64 MiB.
    before = peak()
    held = torch.ones(int((before + 64) * 2**20 / 4))
    assert before + 60 < peak()
    del held
    assert before + 60 < peak()


def test_every_case_of_memory_runs_and_another_is_named(monkeypatch):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 9, 8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    calls = []
    monkeypatch.setattr(dissection_memory, "dissect", lambda *_, attack: calls.append(attack))
    for case in dissection_memory.CASES:
        dissection_memory.run(case, 3, network, "1")
    assert [call is None for call in calls] == [True, False]
    with pytest.raises(
        ValueError, match="case must be one of forward, dissection, attack, attacked_dissection, got 'x'"
    ):
        dissection_memory.run("x", 3, network, "1")


def test_memory_is_compared_case_by_case(monkeypatch):
    peaks = {"forward": 100, "dissection": 150, "attack": 300, "attacked_dissection": 340}

    def started(command, **_):
        case, images = command[3], int(command[5])
        return type("Done", (), {"returncode": 0, "stdout": f"{peaks[case] + (images > 4)}\n"})

    monkeypatch.setattr(dissection_memory.subprocess, "run", started)
    page = dissection_memory.growth(4)
    assert page["peak_mib_by_images"]["dissection"] == {4: 150, 16: 151}
    assert page["mib_above"] == {
        "dissection above forward": {4: 50, 16: 50},
        "attacked_dissection above forward": {4: 240, 16: 240},
        "attacked_dissection above attack": {4: 40, 16: 40},
    }


def test_the_page_holds_the_parts_that_are_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["dissection", "--part", "units", "--units", "2", "4", "--images", "2", "--rounds", "1"]
    )
    dissection.main()
    page = json.loads(capsys.readouterr().out)
    assert list(page) == ["machine", "settings", "units"]
    assert list(page["units"]["units"]) == ["2", "4"]
