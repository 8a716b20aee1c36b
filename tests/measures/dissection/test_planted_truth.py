"""Networks whose answer is known: units planted on concepts, and on whether the sensitive ones are those."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.measures import Dissection, DissectionSettings, dissect
from datamodules import ConceptShapes


class Painted(nn.Module):
    """A unit for each of some concepts, active on its pixels alone, and some units of noise."""

    def __init__(self, data: ConceptShapes, numbers: Sequence[int], noise: int) -> None:
        super().__init__()
        split = data.split("test")
        inside = torch.stack([(split.concepts == number).any(1) for number in numbers], 1).float()
        generator = torch.Generator().manual_seed(0)
        maps = torch.cat([inside, torch.rand(len(inside), noise, *inside.shape[-2:], generator=generator)], 1)
        self.known = {
            image.float().div(255).numpy().tobytes(): each for image, each in zip(split.images, maps, strict=True)
        }
        self.units = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.stack([self.known[image.contiguous().numpy().tobytes()] for image in images])
        return self.units(maps).mean((2, 3))


@pytest.fixture(scope="module")
def data() -> ConceptShapes:
    data = ConceptShapes(root=None, train=1, val=1, test=300, eval_batch_size=64)
    data.setup("test")
    return data


def shares(data: ConceptShapes) -> dict[str, float]:
    """Return of the concepts on pixels the share of all pixels that each covers."""
    concepts = data.split("test").concepts
    return {
        one.name: float((concepts == one.number).any(1).float().mean())
        for one in data.concepts
        if one.category in ("part", "object", "color")
    }


def test_planted_units_are_found_through_the_public_form(data: ConceptShapes) -> None:
    covered = shares(data)
    # A unit is active on at most 5% of pixels: rarer concepts can be met wholly.
    names = [name for name, share in covered.items() if 0.002 < share < 0.05][:12]
    assert len(names) >= 8
    by_name = {concept.name: concept for concept in data.concepts}
    network = Painted(data, [by_name[name].number for name in names], noise=4)
    found = dissect(network, data.test_dataloader(), ["units"])["units"]
    assert [concept.name for concept in found.best[: len(names)]] == names
    assert all(one.value > 0.9 for one in found.best_iou[: len(names)])
    assert all(one.n == 300 for one in found.best_iou)
    assert found.detectors[: len(names)].all()
    assert found.interpretability[: len(names)].min() > found.interpretability[len(names) :].max()


def test_planted_units_are_detectors_and_by_chance_far_fewer(data: ConceptShapes) -> None:
    """Concepts have real structure: in the middle or below, in some pictures only."""
    covered = shares(data)
    names = [name for name, share in covered.items() if 0.002 < share < 0.05]
    by_name = {concept.name: concept.number for concept in data.concepts}
    network = Painted(data, [by_name[name] for name in names], noise=1)
    settings = DissectionSettings(draws=10, detector=0.1)
    figures = dissect(network, data.test_dataloader(), ["units"], settings=settings)["units"].figures
    own, chance = figures["detectors"], figures["detectors_chance"]
    assert own.value >= len(names)
    assert chance.value < own.value / 3
    assert figures["interpretability_chance"].value < figures["interpretability"].value / 2
    for name, figure in figures.items():
        if "_chance" in name:
            assert figure.n == 300, name
            assert figure.low <= figure.value <= figure.high, name
    assert figures["unique_concepts_chance"].value <= chance.value
    categories = {concept.category for concept in data.concepts}
    assert sum(figures[f"detectors_{category}_chance"].value for category in categories) == chance.value


CONCEPT = (Concept(1, "spot", "object"), Concept(2, "rim", "part"))


def spots(count: int = 80, side: int = 16) -> Batch:
    """Return images of which the first channel shows where the spot is; the rest is for units without a meaning."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, side, side, generator=generator) * 0.5
    places = torch.randint(side - 6, (count, 2), generator=generator)
    concepts = torch.zeros(count, 1, side, side, dtype=torch.int16)
    for image, (row, column) in enumerate(places.tolist()):
        concepts[image, 0, row : row + 6, column : column + 6] = 2
        concepts[image, 0, row + 1 : row + 5, column + 1 : column + 5] = 1
        images[image, 0, row + 1 : row + 5, column + 1 : column + 5] += 0.4
    return Batch(images, torch.full((count,), -1), torch.arange(count) * 3 + 5, concepts)


class Linked(nn.Module):
    """40 units: of each, what it looks at, and how far an attack moves it, are set by hand.

    Images carry their adversarial ones, in which the second channel is other noise, and no other one is changed.

    Args:
        meaning: Share of each unit that is the first channel, where the spot is; the rest is the third, noise.
        moved: Share of the second channel.
        levels: What each unit's map is at least.
    """

    def __init__(self, meaning: Tensor, moved: Tensor, levels: Tensor | None = None) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.stack([meaning, moved, 1 - meaning], 1)[:, :, None, None])
        self.levels = levels
        self.units = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.conv2d(images, self.weights)
        if self.levels is not None:
            # Most of a map is its least value: a unit is then active on at most the share that exceeds it.
            maps = maps.clamp(min=self.levels[:, None, None])
        maps = self.units(maps)
        # The prediction follows the second channel: each adversarial image is predicted otherwise.
        side = images[:, 1].mean((1, 2))
        return torch.stack([side, 0.5 - side], 1)


def moved_spots() -> Batch:
    batch = spots()
    images, adversarials = batch.images.clone(), batch.images.clone()
    generator = torch.Generator().manual_seed(2)
    images[:, 1] = torch.rand(images[:, 1].shape, generator=generator) * 0.4
    adversarials[:, 1] = 1 - images[:, 1].flip(1)
    return batch._replace(images=images, adversarials=adversarials)


def linked(meaning: Tensor, moved: Tensor, levels: Tensor | None = None) -> Dissection:
    settings = DissectionSettings(draws=2000)
    network = Linked(meaning, moved, levels)
    return dissect(network, [moved_spots()], ["units"], concepts=CONCEPT, settings=settings)


def p_of(found: Dissection, top: int, name: str = "p") -> float:
    (row,) = [one for one in found.significance if (one["top"], one["regular"]) == (top, 0)]
    assert found["units"].counts["attacked"] == 80
    return float(row[name])


def test_sensitive_units_that_are_planted_on_a_concept_are_significant() -> None:
    units = torch.arange(40)
    # Ten units see the spot and are moved; the others see noise and are hardly moved.
    meaning = torch.where(units % 4 == 0, 0.9, 0.05) + units * 1e-3
    moved = torch.where(units % 4 == 0, 0.3, 0.0) + units * 1e-4
    found = linked(meaning, moved)
    v = found["units"].sensitivity
    assert v[units % 4 == 0].min() > v[units % 4 != 0].max()
    assert p_of(found, 10) <= 0.01
    assert p_of(found, 10, "p_corrected") <= 0.05
    assert found["units"].figures["p_top10"].value == p_of(found, 10)
    assert found["units"].figures["rank_correlation"].value > 0.3


def test_sensitive_units_that_see_noise_are_not_significant() -> None:
    units = torch.arange(40)
    meaning = torch.where(units % 4 == 0, 0.9, 0.05) + units * 1e-3
    moved = torch.where(units % 4 == 1, 0.9, 0.0) + units * 1e-4
    assert p_of(linked(meaning, moved), 10) > 0.5


def test_an_area_alone_makes_the_plain_test_significant_and_not_the_matched_one() -> None:
    """Units of pure noise: those with larger masks meet more of the concepts and have more pixels to flip."""
    count = 40
    generator = torch.Generator().manual_seed(4)
    shares = torch.linspace(0.002, 0.049, count)[torch.randperm(count, generator=generator)]
    weights = 0.7 + 0.03 * torch.rand(count, generator=generator)
    network = Linked(torch.zeros(count), weights)
    values = []
    network.units.register_forward_hook(lambda _, __, out: values.append(out))
    with torch.no_grad():
        network(moved_spots().images)
    ordered = values[0].transpose(0, 1).flatten(1).sort(descending=True).values
    levels = ordered.gather(1, (shares * ordered.shape[1]).long()[:, None])[:, 0]
    found = linked(torch.zeros(count), weights, levels)
    areas = found["units"].areas.double()
    sensitivity = found["units"].sensitivity
    ranks = areas.argsort().argsort().double(), sensitivity.argsort().argsort().double()
    assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.8
    assert p_of(found, 10) <= 0.01
    assert p_of(found, 10, "p_matched") > 0.05


def test_an_attack_on_the_spot_moves_the_units_that_see_it() -> None:
    """The same link through an attack: gradients reach the first channel alone."""

    class Head(Linked):
        def forward(self, images: Tensor) -> Tensor:
            maps = self.units(nn.functional.conv2d(images, self.weights))
            bright = (images[:, 0] - 0.45).relu().mean((1, 2))
            return torch.stack([bright, 0.006 + 0 * maps.sum((1, 2, 3))], 1)

    units = torch.arange(40)
    meaning = torch.where(units % 4 == 0, 0.95, 0.02) + units * 1e-3
    batch = spots()
    settings = DissectionSettings(draws=2000)
    found = dissect(Head(meaning, torch.zeros(40)), [batch], ["units"], concepts=CONCEPT, settings=settings,
                    attack=PGD(eps=0.4, step_size=0.1, steps=20, random_start=False))  # fmt: skip
    (row,) = [one for one in found.significance if (one["top"], one["regular"]) == (10, 0)]
    assert row["images"] > 20
    assert row["p"] <= 0.01
