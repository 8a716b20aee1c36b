"""Each setting of a dissection against the definitions in plain loops, and what it must not change."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.intervals import Estimate
from advscope.measures import (
    ConceptTable,
    ConceptTally,
    DissectedLayer,
    Dissection,
    DissectionSettings,
    dissect,
    unit_masks,
)
from advscope.measures.dissection import compile_support, concept_tally, tiled_mask_counter
from advscope.measures.dissection.reference_annotations import ReferenceAnnotations
from tests.measures.dissection.small import CONCEPTS, LAYERS, Small, annotated, attack, equal, split


def found(batch: Batch, layer: str = "act2", of: object = None, **settings: object) -> DissectedLayer:
    given = DissectionSettings(**({"quantile": 0.2, "draws": 10} | settings))  # type: ignore[arg-type]
    network = MicroBatched(Small().eval(), 4)
    return dissect(
        network, split(batch, [10, len(batch.images) - 10]), [layer], concepts=CONCEPTS, attack=of, settings=given
    )[layer]  # type: ignore[arg-type]


def maps_of(batch: Batch, layer: str) -> Tensor:
    network, kept = MicroBatched(Small().eval(), 4), []
    network.network.get_submodule(layer).register_forward_hook(lambda _, __, out: kept.append(out))
    with torch.no_grad():
        network(batch.images)
    return torch.cat(kept)[: len(batch.images)]


def sampled(values: Tensor, height: int, width: int, align_corners: bool) -> list[list[float]]:
    """Sample a map bilinearly, pixel by pixel; rows first, each step rounded to float32 as a + t (b - a)."""

    def ends(place: int, target: int, source: int) -> tuple[int, int, float]:
        at = place * (source - 1) / (target - 1) if align_corners else (place + 0.5) * source / target - 0.5
        at = min(max(at, 0.0), source - 1.0)
        low = math.floor(at)
        return low, min(low + 1, source - 1), at - low

    def between(first: Tensor, second: Tensor, share: float) -> Tensor:
        return first + torch.tensor(share, dtype=torch.float32) * (second - first)

    result = []
    for row in range(height):
        top, bottom, down = ends(row, height, values.shape[0])
        line = [between(values[top, place], values[bottom, place], down) for place in range(values.shape[1])]
        across = [ends(column, width, values.shape[1]) for column in range(width)]
        result.append([float(between(line[left], line[right], share)) for left, right, share in across])
    return result


def labels_at(batch: Batch, size: tuple[int, int]) -> list[list[list[set[int]]]]:
    """Return the labels of each pixel at another resolution: those of the pixel in which its centre lies."""
    height, width = batch.concepts.shape[-2:]
    every = []
    for layers, whole in zip(batch.concepts.tolist(), batch.image_concepts.tolist(), strict=True):
        lines = []
        for row in range(size[0]):
            down = math.floor((row + 0.5) / size[0] * height)
            places = [math.floor((column + 0.5) / size[1] * width) for column in range(size[1])]
            lines.append([{one[down][across] for one in layers} | set(whole) for across in places])
        every.append(lines)
    return every


@pytest.mark.parametrize("union", ["all", "category"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("resolution", "size"), [("input", (8, 8)), ("label", (3, 5)), ("label", (4, 4))])
def test_resolution_corners_and_union_equal_a_plain_loop(
    resolution: str, size: tuple[int, int], align_corners: bool, union: str
) -> None:
    batch = annotated(12)
    generator = torch.Generator().manual_seed(3)
    # An uneven number of annotated pixels, which no row of the other resolution divides.
    annotated_size = (3, 5) if resolution == "input" else size
    drawn = torch.tensor([0, 3, 5, 9])[torch.randint(4, (12, 2, *annotated_size), generator=generator)]
    batch = batch._replace(concepts=drawn.short())
    layer = found(batch, "act2", resolution=resolution, align_corners=align_corners, union=union, quantile=0.3)
    assert layer.figures["mask_pixels"].value == size[0] * size[1]
    maps, labels = maps_of(batch, "act2"), labels_at(batch, size)
    category_of = {concept.number: concept.category for concept in CONCEPTS}
    for unit in range(8):
        ordered = sorted(maps[:, unit].flatten().tolist(), reverse=True)
        threshold = ordered[int(0.3 * len(ordered) + 1e-9)]
        met, sizes, areas = [dict.fromkeys(category_of, 0) for _ in range(3)]
        area = 0
        for image in range(12):
            scaled = sampled(maps[image, unit], *size, align_corners)
            there = {category_of[one] for line in labels[image] for pixel in line for one in pixel if one}
            for row in range(size[0]):
                for column in range(size[1]):
                    active = scaled[row][column] > threshold
                    area += active
                    for number, category in category_of.items():
                        bears = number in labels[image][row][column]
                        met[number] += active and bears
                        sizes[number] += bears
                        areas[number] += active and (union == "all" or category in there)
        assert int(layer.areas[unit]) == area
        for place, number in enumerate(category_of):
            assert int(layer.intersections[unit, place]) == met[number]
            assert int(layer.concept_areas[place]) == sizes[number]
            whole = areas[number] + sizes[number] - met[number]
            assert float(layer.iou[unit, place]) == pytest.approx(
                met[number] / whole if whole else math.nan, nan_ok=True
            )


@pytest.mark.parametrize("quantile", [0.005, 0.05, 0.5, 0.29])
def test_the_threshold_is_the_exact_rank(quantile: float) -> None:
    batch = annotated()
    layer = found(batch, "act1", quantile=quantile)
    ordered = maps_of(batch, "act1").transpose(0, 1).flatten(1).sort(descending=True).values
    # 23 images of 64 positions; 0.005 x 1472 = 7.36: at most 7 exceed it, and the next lower value would let 8.
    allowed = {0.005: 7, 0.05: 73, 0.5: 736, 0.29: 426}[quantile]
    assert torch.equal(layer.threshold, ordered[:, allowed])
    exceeding = (ordered > layer.threshold[:, None]).sum(1)
    assert (exceeding <= allowed).all()
    if quantile < 0.1:
        assert (exceeding[2:] == allowed).sum() >= 2  # continuous units reach it exactly


@pytest.mark.parametrize("detector", [0.0, 0.1, 0.15, 0.99])
def test_a_detector_exceeds_the_limit(detector: float) -> None:
    layer = found(annotated(), "act2", detector=detector)
    best = [one.value for one in layer.best_iou]
    assert layer.detectors.tolist() == [value > detector for value in best]
    assert layer.figures["detectors"].value == sum(value > detector for value in best)
    named = {layer.best[unit].name for unit in range(8) if best[unit] > detector}
    assert layer.figures["unique_concepts"].value == len(named)


def test_the_limit_itself_makes_no_detector() -> None:
    best = [one.value for one in found(annotated(), "act2").best_iou]
    value = best[3]
    assert 0 < value < 1
    layer = found(annotated(), "act2", detector=value)
    assert not bool(layer.detectors[3])
    below = found(annotated(), "act2", detector=math.nextafter(value, 0))
    assert bool(below.detectors[3])
    assert below.figures["detectors"].value == layer.figures["detectors"].value + best.count(value)


@pytest.mark.parametrize("number", [0, 1, 3, 30])
def test_top_images_are_those_of_the_highest_activation(number: int) -> None:
    batch = annotated()
    layer = found(batch, "act2", top_images=number)
    highest = maps_of(batch, "act2").amax((2, 3))
    assert layer.top_images.shape == layer.top_values.shape == (8, number)
    for unit in range(8):
        order = sorted(range(23), key=lambda image: (-float(highest[image, unit]), int(batch.indices[image])))
        wanted = [int(batch.indices[image]) for image in order][:number]
        assert layer.top_images[unit].tolist() == wanted + [-1] * (number - len(wanted))
        values = [float(highest[image, unit]) for image in order][:number]
        assert layer.top_values[unit].tolist() == values + [-math.inf] * (number - len(values))


@pytest.mark.parametrize("of", [None, attack()])
def test_chance_changes_no_other_figure(of: object) -> None:
    batch = annotated()
    with_chance, without = (found(batch, "act2", of, chance=chance) for chance in (True, False))
    added = {name for name in with_chance.figures if name not in without.figures}
    assert added
    assert all("_chance" in name for name in added)
    assert not any("_chance" in name for name in without.figures)
    for name, figure in without.figures.items():
        assert repr(with_chance.figures[name]) == repr(figure), name
    for name, field in without._asdict().items():
        other = getattr(with_chance, name)
        if isinstance(field, Tensor):
            assert torch.equal(field.double().nan_to_num(-7), other.double().nan_to_num(-7)), name
        elif name != "figures":
            assert repr(field) == repr(other), name


def test_counts_are_the_same_in_either_kind_of_whole_number(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DissectionSettings(0.2, draws=10)
    kinds, results = [], []
    for most in ((1 << 31) - 1, 1):
        monkeypatch.setattr(concept_tally, "_MOST", most)
        before = ConceptTally.add_up
        monkeypatch.setattr(
            ConceptTally, "add_up", lambda self, before=before: (kinds.append(self.intersections.dtype), before(self))
        )
        network = MicroBatched(Small().eval(), 4)
        results.append(dissect(network, [annotated()], LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings))
        monkeypatch.undo()
    assert equal(*results)
    assert set(kinds[: len(kinds) // 2]) == {torch.int32}
    assert set(kinds[len(kinds) // 2 :]) == {torch.int64}


@pytest.mark.parametrize(("pixels", "kind"), [((1 << 31) - 1, torch.int32), (1 << 31, torch.int64)])
def test_counts_that_int32_cannot_hold_are_int64(pixels: int, kind: torch.dtype) -> None:
    tally = ConceptTally(2, ConceptTable(CONCEPTS), pixels)
    for name in ("intersections", "unit_areas", "category_areas", "concept_areas", "images"):
        assert getattr(tally, name).dtype == kind
    # All pixels of all images in one group's count: as many as there can be.
    tally.unit_areas[3, 0] = pixels
    assert int(tally.unit_areas.sum(0)[0]) == pixels
    tally.unit_areas[4, 0] = 5
    assert int(tally.unit_areas.sum(0)[0]) == pixels + 5


@pytest.mark.parametrize("resolution", ["label", "input"])
@pytest.mark.parametrize("strict", [True, False])
def test_loops_and_tiles_of_any_size_give_the_same_dissection(
    strict: bool, resolution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DissectionSettings(0.2, draws=10, resolution=resolution, strict=strict)

    def dissected() -> Dissection:
        network = MicroBatched(Small().eval(), 4)
        return dissect(network, [annotated()], LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings)

    wanted = dissected()  # by compiled loops, where numba is installed
    monkeypatch.setattr(compile_support, "AVAILABLE", False)
    assert equal(wanted, dissected())
    monkeypatch.setattr(tiled_mask_counter, "_TILE", {"cpu": 8 * 9})
    monkeypatch.setattr(tiled_mask_counter, "_SMALLEST", 3)
    monkeypatch.setattr(tiled_mask_counter, "_AT_ONCE", {"cpu": 8 * 9 * 2})
    assert equal(wanted, dissected())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantile": 0.0}, r"quantile must be in \(0, 1\), got 0.0"),
        ({"quantile": math.nan}, r"quantile must be in \(0, 1\), got nan"),
        ({"quantile": 5}, r"quantile must be in \(0, 1\), got 5"),
        ({"union": "both"}, 'union must be "all" or "category", got \'both\''),
        ({"resolution": "map"}, 'resolution must be "label" or "input", got \'map\''),
        ({"detector": 1.0}, r"detector must be in \[0, 1\), got 1.0"),
        ({"detector": -0.1}, r"detector must be in \[0, 1\), got -0.1"),
        ({"detector": math.nan}, r"detector must be in \[0, 1\), got nan"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"top_images": -1}, "top_images must not be negative, got -1"),
        ({"source": -1}, "source must be a class from 0, or None, got -1"),
        ({"target": -2}, "target must be a class from 0, or None, got -2"),
        ({"source": 2, "target": 2}, "source and target must be different classes, got 2 twice"),
    ],
)
def test_each_wrong_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        DissectionSettings(**settings)  # type: ignore[arg-type]


def test_quantile_and_union_can_be_given_alone() -> None:
    given = dissect(Small().eval(), [annotated()], ["act2"], concepts=CONCEPTS, quantile=0.3, union="category")
    whole = DissectionSettings(quantile=0.3, union="category")
    assert given.settings == whole
    assert equal(given, dissect(Small().eval(), [annotated()], ["act2"], concepts=CONCEPTS, settings=whole))


def test_p_values_follow_the_draws() -> None:
    rows = [dissect(Small().eval(), [annotated()], ["act2"], concepts=CONCEPTS, attack=attack(),
                    settings=DissectionSettings(0.2, draws=draws)) for draws in (1, 100)]  # fmt: skip
    for found_rows in rows:
        assert all(isinstance(figure, Estimate) for figure in found_rows["act2"].figures.values())
        # 8 units: N of 10 and more have no p, and no figure.
        assert all(math.isnan(row["p"]) for row in found_rows.significance)
        assert not any(name.startswith("p_top") for name in found_rows["act2"].figures)


@pytest.mark.parametrize("union", ["all", "category"])
def test_chance_holds_masks_against_the_concepts_of_partners(count: Callable[..., ConceptTally], union: str) -> None:
    batch = annotated(40)
    layer = found(batch, "act2", union=union, detector=0.1)
    masks = unit_masks(maps_of(batch, "act2"), layer.threshold, (4, 4))
    references = ReferenceAnnotations()
    references.add(batch.indices, batch.concepts, batch.image_concepts)
    references.exchange()
    partners = references.partner(batch.indices)
    assert partners is not None
    tally = count(ConceptTable(CONCEPTS), masks, partners.concepts, partners.image_concepts, batch.indices)
    iou = tally.iou(union)[:, tally.concept_areas.sum(0) > 0]
    figures = layer.figures
    assert figures["detectors_chance"].value == int((iou.max(1).values > 0.1).sum())
    assert figures["interpretability_chance"].value == pytest.approx(float(iou.mean()), rel=1e-12)
    assert figures["interpretability_chance"].n == 40
    own = count(ConceptTable(CONCEPTS), masks, batch.concepts, batch.image_concepts, batch.indices).iou(union)
    assert figures["interpretability"].value == pytest.approx(float(own[:, :-1].mean()), rel=1e-12)
    assert figures["interpretability"].value != figures["interpretability_chance"].value


def test_of_a_single_image_chance_is_undefined_and_not_0() -> None:
    layer = dissect(
        Small().eval(), [annotated().part(slice(1, 2))], ["act2"], concepts=CONCEPTS, settings=DissectionSettings(0.2)
    )["act2"]
    for name in ("detectors", "unique_concepts", "interpretability", "detectors_part"):
        figure = layer.figures[f"{name}_chance"]
        assert math.isnan(figure.value), name
        assert figure.n == 0
    assert layer.figures["detectors"].n == 1
