"""Tests of network dissection: against a plain-loop twin, planted truth, and whatever order, batch and process."""

import csv
import math

import numpy as np
import pytest
import torch
import torch.multiprocessing
from scipy import stats
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.frozen import MicroBatched
from advscope.intervals import jackknife
from advscope.measures import (
    ConceptTable,
    ConceptTally,
    DissectionSettings,
    dissect,
    unit_masks,
)
from advscope.measures.dissection import mask_counts
from advscope.measures.dissection.image_groups import group_of
from datamodules import ConceptShapes
from tests.measures.dissection.small import CONCEPTS, LAYERS, Small, annotated, attack, equal, split


def sampled(values: np.ndarray, height: int, width: int) -> list[list[float]]:
    """Sample a map bilinearly, pixel by pixel, each step rounded to float32 as a + t (b - a); rows first."""

    def between(first: np.float32, second: np.float32, share: float) -> np.float32:
        return first + np.float32(share) * (second - first)

    def ends(place: int, target: int, source: int) -> tuple[int, int, float]:
        at = min(max((place + 0.5) * source / target - 0.5, 0.0), source - 1.0)
        low = math.floor(at)
        return low, min(low + 1, source - 1), at - low

    result = []
    for row in range(height):
        top, bottom, down = ends(row, height, values.shape[0])
        line = [between(values[top, place], values[bottom, place], down) for place in range(values.shape[1])]
        across = [ends(column, width, values.shape[1]) for column in range(width)]
        result.append([float(between(line[left], line[right], share)) for left, right, share in across])
    return result


def twin(network: nn.Module, batch: Batch, layer: str, settings: DissectionSettings) -> dict[str, object]:
    """Compute everything image by image, unit by unit, pixel by pixel, from the definitions."""
    count = len(batch.images)

    def maps(images: Tensor) -> Tensor:
        kept = {}
        handle = network.get_submodule(layer).register_forward_hook(lambda _, __, out: kept.update(out=out.clone()))
        with torch.no_grad():
            logits = network(images)
        handle.remove()
        out = kept["out"]
        return (out[:, :, None, None] if out.ndim == 2 else out), logits

    clean, logits = maps(batch.images)
    labels = torch.where(batch.labels < 0, logits.argmax(1), batch.labels)
    adversarials = attack()(network, batch.images, labels, indices=batch.indices)
    moved, adversarial_logits = maps(adversarials)
    attacked = (logits.argmax(1) == labels) & (adversarial_logits.argmax(1) != labels)
    units = clean.shape[1]
    thresholds = []
    for unit in range(units):
        values = sorted(clean[:, unit].flatten().tolist(), reverse=True)
        thresholds.append(values[math.floor(settings.quantile * len(values) + 1e-9)])

    def mask(value: Tensor, unit: int) -> set[tuple[int, int]]:
        scaled = sampled(value.numpy(), 4, 4)
        on = (lambda s, t: s > t) if settings.strict else (lambda s, t: s >= t)
        return {(row, column) for row in range(4) for column in range(4) if on(scaled[row][column], thresholds[unit])}

    def pixels(image: int, number: int) -> set[tuple[int, int]]:
        if number in batch.image_concepts[image].tolist():
            return {(row, column) for row in range(4) for column in range(4)}
        layers = batch.concepts[image].tolist()
        return {
            (row, column)
            for row in range(4)
            for column in range(4)
            if any(one[row][column] == number for one in layers)
        }

    iou, moved_iou, v, v_all, areas = [], [], [], [], []
    for unit in range(units):
        masks = [mask(clean[image, unit], unit) for image in range(count)]
        moved_masks = [mask(moved[image, unit], unit) for image in range(count)]
        areas.append(sum(map(len, masks)))
        for lines, shown in ((iou, masks), (moved_iou, moved_masks)):
            line = []
            for concept in CONCEPTS:
                met = union = 0
                for image in range(count):
                    where = pixels(image, concept.number)
                    category = any(pixels(image, one.number) for one in CONCEPTS if one.category == concept.category)
                    active = shown[image] if settings.union == "all" or category else set()
                    met += len(active & where)
                    union += len(active | where)
                line.append(met / union if union else math.nan)
            lines.append(line)
        roots = [math.sqrt(len(one ^ other)) for one, other in zip(masks, moved_masks, strict=True)]
        v_all.append(sum(roots) / count)
        chosen = [root for root, counts in zip(roots, attacked.tolist(), strict=True) if counts]
        v.append(sum(chosen) / len(chosen))
    top = [
        sorted(range(count), key=lambda image: (-float(clean[image, unit].max()), image))[:5] for unit in range(units)
    ]
    return {
        "thresholds": thresholds, "iou": iou, "moved_iou": moved_iou, "v": v, "v_all": v_all, "areas": areas,
        "attacked": int(attacked.sum()), "top": [[int(batch.indices[image]) for image in line] for line in top],
    }  # fmt: skip


@pytest.mark.parametrize("union", ["all", "category"])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("layer", LAYERS)
def test_everything_equals_a_plain_loop_twin(layer: str, strict: bool, union: str) -> None:
    network, batch = Small().eval(), annotated()
    settings = DissectionSettings(quantile=0.2, strict=strict, union=union, draws=50)
    found = dissect(network, split(batch, [10, 10, 3]), LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings)[
        layer
    ]
    wanted = twin(network, batch, layer, settings)
    assert found.threshold.tolist() == wanted["thresholds"]
    assert found.areas.tolist() == wanted["areas"]
    assert found.top_images.tolist() == wanted["top"]
    assert found.counts["attacked"] == wanted["attacked"]
    # "never" is on no pixel: it is no part of any mean.
    for unit, line in enumerate(wanted["iou"]):
        present = line[:-1]
        assert found.iou[unit].tolist() == pytest.approx(line, abs=1e-15, nan_ok=True)
        assert found.adversarial_iou[unit].tolist() == pytest.approx(wanted["moved_iou"][unit], abs=1e-15, nan_ok=True)
        assert found.interpretability[unit] == pytest.approx(sum(present) / len(present), abs=1e-12)
        assert found.best_iou[unit].value == pytest.approx(max(present), abs=1e-12)
        assert found.best[unit] == CONCEPTS[present.index(max(present))]
    assert found.sensitivity.tolist() == pytest.approx(wanted["v"], abs=1e-8)
    assert [estimate.value for estimate in found.sensitivity_all] == pytest.approx(wanted["v_all"], abs=1e-8)
    detected = [max(line[:-1]) > 0.04 for line in wanted["iou"]]
    assert found.figures["detectors"].value == sum(detected)
    for category in ("color", "object", "part", "scene", "material"):
        best = [concept.category == category for concept in found.best]
        number = sum(one and other for one, other in zip(detected, best, strict=True))
        assert found.figures[f"detectors_{category}"].value == number


def test_batches_and_order_change_no_bit() -> None:
    network, batch = MicroBatched(Small().eval(), 4), annotated()
    settings = DissectionSettings(quantile=0.2, draws=100)
    whole = dissect(network, [batch], LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    for sizes, shuffled in (([1] * 23, None), ([7, 16], order)):
        assert equal(
            whole,
            dissect(
                network, split(batch, sizes, shuffled), LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings
            ),
        )


def test_dead_and_saturated_units_are_counted_and_set_apart() -> None:
    found = dissect(
        Small().eval(), [annotated()], ["act1"], concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10)
    )["act1"]
    assert found.kinds[:2] == ("maximum", "maximum")
    assert found.threshold[:2].tolist() == [0.0, 6.0]
    zero = sum(float(value) == 0 for value in found.threshold)
    assert found.figures["units_zero"].value == zero
    assert found.figures["units_maximum"].value >= 2
    regular = [unit for unit, kind in enumerate(found.kinds) if kind == "regular"]
    detectors = [found.best_iou[unit].value > 0.04 for unit in regular]
    assert found.figures["detectors_regular"].value == sum(detectors)
    mean = found.interpretability[regular].mean()
    assert found.figures["interpretability_regular"].value == pytest.approx(float(mean))
    # S > T masks nothing there, so nothing is met.
    assert found.interpretability[:2].tolist() == [0, 0]
    # Without an attack sensitivity is undefined.
    assert all(math.isnan(one.value) and one.n == 0 for one in found.sensitivity_estimates)
    assert found.sensitivity.isnan().all()


class Planted(nn.Module):
    """One unit answers inside a concept, the stronger the more to the right; the other is noise."""

    def __init__(self, number: int, data: ConceptShapes) -> None:
        super().__init__()
        split = data.split("test")
        inside = (split.concepts == number).any(1).float()
        self.size = inside.shape[-1]
        self.known = {
            image.float().div(255).numpy().tobytes(): mask for image, mask in zip(split.images, inside, strict=True)
        }
        self.unit = nn.Identity()
        self.share = float(inside.mean())

    def forward(self, images: Tensor) -> Tensor:
        masks = torch.stack([self.known[image.contiguous().numpy().tobytes()] for image in images])
        graded = masks * (1 + torch.arange(self.size) / self.size)
        noise = images[:, 0]
        maps = self.unit(torch.stack([graded, noise], dim=1))
        return maps.mean((2, 3))


@pytest.mark.parametrize("name", ["petal", "wheel", "cup"])
def test_a_unit_planted_on_a_concept_is_found(name: str) -> None:
    data = ConceptShapes(root=None, train=1, val=1, test=100)
    data.setup("test")
    concept = next(one for one in data.concepts if one.name == name)
    network = Planted(concept.number, data)
    assert 0 < network.share <= 0.05
    batches = list(data.test_dataloader())
    found = dissect(
        network, batches, ["unit"], concepts=data.concepts, settings=DissectionSettings(quantile=0.05, draws=10)
    )
    planted, _ = found["unit"].best
    assert planted == concept
    assert found["unit"].best_iou[0].value > 0.9
    assert found["unit"].best_iou[1].value < 0.5
    # The object of the same shape covers more: the part is not mistaken for it.
    assert found["unit"].kinds[0] in ("zero", "regular")


def test_the_network_is_left_as_found() -> None:
    network = Small().train()
    network.head.eval()
    network.conv1.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    dissect(
        network, [annotated()], LAYERS, concepts=CONCEPTS, attack=attack(), settings=DissectionSettings(0.2, draws=10)
    )
    assert network.training
    assert not network.head.training
    assert not network.conv1.weight.requires_grad
    assert network.conv2.weight.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in network.modules())


def test_it_works_in_inference_mode() -> None:
    settings = DissectionSettings(0.2, draws=10)
    network = Small().eval()  # made outside, as networks are: weights made inside could not be differentiated through
    outside = dissect(network, [annotated()], LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings)
    with torch.inference_mode():
        assert equal(
            outside, dissect(network, [annotated()], LAYERS, concepts=CONCEPTS, attack=attack(), settings=settings)
        )


def test_the_interval_is_that_of_leaving_groups_out(count) -> None:
    batch = annotated(40)
    found = dissect(Small().eval(), [batch], ["act2"], concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))[
        "act2"
    ]
    table = ConceptTable(CONCEPTS)
    kept = {}
    network = Small().eval()
    network.act2.register_forward_hook(lambda _, __, out: kept.update(out=out))
    with torch.no_grad():
        network(batch.images)
    masks = unit_masks(kept["out"], found.threshold, (4, 4))
    without = []
    for group in range(10):
        rows = (group_of(batch.indices) != group).nonzero().flatten()
        tally = count(table, masks[rows], batch.concepts[rows], batch.image_concepts[rows], batch.indices[rows])
        without.append(tally.iou()[0, CONCEPTS.index(found.best[0])].item())
    centre = sum(without) / 10
    error = math.sqrt(9 / 10 * sum((value - centre) ** 2 for value in without))
    estimate = found.best_iou[0]
    assert estimate.high - estimate.value == pytest.approx(stats.t.ppf(0.975, 9) * error, rel=1e-9)
    assert estimate.n == 40


def test_the_interval_of_a_mean_over_concepts_is_that_of_the_images_that_are_left(count) -> None:
    batch = annotated(40)
    groups = group_of(batch.indices)
    # The wheel is on images of one group alone: without it there is no wheel, and no IoU with it.
    batch.concepts[(batch.concepts == 9) & (groups != groups[0])[:, None, None, None]] = 0
    found = dissect(Small().eval(), [batch], ["act2"], concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))[
        "act2"
    ]
    network, kept = Small().eval(), {}
    network.act2.register_forward_hook(lambda _, __, out: kept.update(out=out))
    with torch.no_grad():
        network(batch.images)
    masks = unit_masks(kept["out"], found.threshold, (4, 4))

    def interpretability(rows: Tensor) -> float:
        tally = count(
            ConceptTable(CONCEPTS), masks[rows], batch.concepts[rows], batch.image_concepts[rows], batch.indices[rows]
        )
        return float(tally.iou()[:, tally.concept_areas.sum(0) > 0].mean())

    without = [interpretability((groups != group).nonzero().flatten()) for group in groups.unique().tolist()]
    wanted = jackknife(interpretability(torch.arange(40)), without, 40)
    assert found.figures["interpretability"] == pytest.approx(wanted, rel=1e-12)


def test_counts_reproduce_published_scores(shared) -> None:
    path = shared / "data/broden/netdissect_results"
    (table,) = path.glob("*.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    categories = [name.removesuffix("-label") for name in rows[0] if name.endswith("-label")]
    compared = 0
    for row in rows:
        for category in categories:
            met, active, truth = (float(row[f"{category}-{part}"]) for part in ("intersect", "activation", "truth"))
            tally = ConceptTally(1, ConceptTable([Concept(1, "x", category)]))
            tally.intersections[0, 0, 0], tally.concept_areas[0, 0] = int(met), int(truth)
            tally.category_areas[0, 0, 0] = int(active)
            if active + truth > 0:
                assert float(tally.iou("category")[0, 0]) == pytest.approx(float(row[f"{category}-iou"]), abs=1e-9)
                compared += 1
    assert compared > 1000


def test_wrong_annotations_are_named_before_the_network_has_run_twice() -> None:
    passes = []
    network = Small().eval()
    network.register_forward_hook(lambda *_: passes.append(1))
    with pytest.raises(ValueError, match="bears label 12"):
        dissect(
            network,
            [annotated()],
            LAYERS,
            concepts=CONCEPTS[:4],
            attack=attack(),
            settings=DissectionSettings(0.2, draws=10),
        )
    assert not passes


def test_batches_that_can_be_iterated_over_only_once_are_refused() -> None:
    once = iter([annotated()])
    with pytest.raises(ValueError, match=r"second pass saw other values .* must be the same twice"):
        dissect(Small().eval(), once, LAYERS, concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))


def test_adversarial_activations_that_are_no_numbers_are_refused() -> None:
    def broken(network: nn.Module, images: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        return images * torch.nan

    with pytest.raises(ValueError, match="layer 'act1': activations hold nan or infinity"):
        dissect(
            Small().eval(),
            [annotated()],
            ["act1"],
            concepts=CONCEPTS,
            attack=broken,
            settings=DissectionSettings(0.2, draws=10),
        )


def test_counts_of_what_is_undefined() -> None:
    batch = annotated()
    found = dissect(Small().eval(), [batch], ["act2"], concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))[
        "act2"
    ]
    figures = {name: figure.value for name, figure in found.figures.items()}
    assert (figures["concepts"], figures["concepts_absent"]) == (5, 1)  # "never" is on no pixel
    assert figures["units_undefined"] == 8  # no attack, no sensitivity
    assert figures["mask_pixels"] == 16
    bare = batch._replace(concepts=torch.zeros_like(batch.concepts), image_concepts=None)
    found = dissect(
        Small().eval(), [bare], ["act2"], concepts=CONCEPTS, attack=attack(), settings=DissectionSettings(0.2, draws=10)
    )["act2"]
    assert found.figures["concepts_absent"].value == 6
    assert found.figures["detectors"].value == 0
    assert found.best == (None,) * 8
    assert all(
        math.isnan(value) for value in (*found.interpretability.tolist(), *(iou.value for iou in found.best_iou))
    )


def test_a_network_in_float64_is_dissected_in_float32() -> None:
    batch = annotated()
    double = [batch._replace(images=batch.images.double())]
    found = dissect(
        Small().double().eval(),
        double,
        ["act1"],
        concepts=CONCEPTS,
        attack=attack(),
        settings=DissectionSettings(0.2, draws=10),
    )
    assert found["act1"].threshold.dtype == found["act1"].maxima.dtype == torch.float32
    # A constant unit, whose value float32 must not set above itself.
    assert found["act1"].kinds[1] == "maximum"
    assert found["act1"].interpretability[1] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ["nowhere"]}, "no layer 'nowhere'"),
        ({"layers": []}, "layers is empty: name layers"),
        ({"batches": []}, "there are no images to dissect with"),
        ({"layers": ["act1", "act1"]}, "layers must be different ones, got act1, act1"),
        (
            {"batches": [annotated(), annotated()._replace(concepts=torch.zeros(23, 3, 2, 4, dtype=torch.int16))]},
            r"annotations must be of one size, got \(4, 4\) and \(2, 4\)",
        ),
        ({"batches": [annotated()._replace(concepts=torch.zeros(23, 3, 4, 4))]}, "concepts must be integers"),
        ({"concepts": CONCEPTS[:3]}, r"an image bears label (9|12), which is not among the 3 concepts given"),
        ({"concepts": ()}, "one or more labels with different numbers from 1"),
        ({"concepts": (CONCEPTS[0], CONCEPTS[0])}, "one or more labels with different numbers from 1"),
        ({"batches": [annotated()._replace(concepts=None)]}, "a batch has no concepts"),
        ({"batches": [annotated()._replace(images=torch.full((23, 3, 8, 8), torch.nan))]}, "layer 'act1': .*hold nan"),
    ],
)
def test_what_is_not_allowed_is_named(change: dict[str, object], message: str) -> None:
    given = {"batches": [annotated()], "concepts": CONCEPTS, "layers": LAYERS, **change}
    with pytest.raises(ValueError, match=message):
        dissect(Small().eval(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantile": 1.0}, r"quantile must be in \(0, 1\), got 1.0"),
        ({"union": "some"}, 'union must be "all" or "category", got \'some\''),
        ({"draws": 0}, "draws must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused_when_they_are_made(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DissectionSettings(**settings)  # type: ignore[arg-type]


class Again:
    """Batches that can be iterated over a few times, then give fewer or none."""

    def __init__(self, times: int, then: int) -> None:
        self.times, self.then = times, then

    def __iter__(self):  # noqa: D105
        self.times -= 1
        batches = split(annotated(), [10, 13])
        return iter(batches if self.times >= 0 else batches[: self.then])


@pytest.mark.parametrize(("then", "seen"), [(0, 0), (1, 10)])
def test_a_third_pass_that_sees_fewer_images_is_refused(then: int, seen: int) -> None:
    with pytest.raises(ValueError, match=f"^the third pass saw {seen} images and the first 23: the batches must be"):
        dissect(Small().eval(), Again(2, then), LAYERS, concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))
    dissect(Small().eval(), Again(3, 0), LAYERS, concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))


def test_images_of_several_sizes_are_compared_at_the_labels_alone() -> None:
    batch = annotated()
    wide = batch._replace(images=torch.rand(23, 3, 8, 12), indices=batch.indices + 23)
    found = dissect(Small().eval(), [batch, wide], LAYERS, concepts=CONCEPTS, settings=DissectionSettings(draws=10))
    assert found["act1"].figures["units"].n == 46
    settings = DissectionSettings(resolution="input")
    for order, told in (([batch, wide], r"\(8, 8\) and \(8, 12\)"), ([wide, batch], r"\(8, 12\) and \(8, 8\)")):
        with pytest.raises(ValueError, match=rf'^images must be of one size, got {told}: .* give resolution="label"$'):
            dissect(Small().eval(), order, LAYERS, concepts=CONCEPTS, settings=settings)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_activations_that_are_no_numbers_are_told_in_the_first_pass(value: float) -> None:
    network, passes = Small().eval(), []
    network.act2 = nn.Identity()
    network.conv2.bias.data[3] = value
    network.register_forward_hook(lambda *_: passes.append(1))
    with pytest.raises(ValueError, match=r"^layer 'act2': activations hold nan or infinity, of which no mask"):
        dissect(network, [annotated()], LAYERS, concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))
    assert len(passes) == 1


def test_masks_that_are_too_large_to_count_are_told_before_the_network_has_run(monkeypatch) -> None:
    network, passes = Small().eval(), []
    network.register_forward_hook(lambda *_: passes.append(1))
    monkeypatch.setattr(mask_counts, "_EXACT", 16)
    with pytest.raises(ValueError, match=r"^masks must have fewer than 16 pixels, got 4 x 4: scale them down$"):
        dissect(network, [annotated()], LAYERS, concepts=CONCEPTS, settings=DissectionSettings(0.2, draws=10))
    assert not passes


def test_the_warning_of_images_without_a_label_is_given_once_for_all_batches() -> None:
    batch = annotated()
    batch.concepts[::4] = 0
    batch.image_concepts[::4] = 0
    with pytest.warns(UserWarning, match="bear no label") as said:
        found = dissect(
            Small().eval(), split(batch, [1] * 23), LAYERS, concepts=CONCEPTS, settings=DissectionSettings(draws=10)
        )
    assert [str(one.message).split(":")[0] for one in said] == ["6 of 23 images bear no label"]
    assert said[0].filename == __file__
    assert found.unlabelled == 6
