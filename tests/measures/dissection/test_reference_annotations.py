"""Tests of the sample of annotations and of the partners in it."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor, distributed

from advscope.concepts import Concept
from advscope.counter_hash import hash32
from advscope.measures.dissection.concept_tally import ConceptTable
from advscope.measures.dissection.reference_annotations import Annotations, ReferenceAnnotations


def annotated(count: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Return indices and annotations that tell their image: its number stands on every pixel."""
    indices = 1000 + 7 * torch.arange(count)
    concepts = torch.arange(1, count + 1, dtype=torch.int16)[:, None, None, None].repeat(1, 2, 3, 4)
    whole = torch.stack([torch.arange(1, count + 1), torch.zeros(count)], dim=1).short()
    return indices, concepts, whole


def gather(size: int, batches: list[Tensor], data: tuple[Tensor, Tensor, Tensor]) -> ReferenceAnnotations:
    sample = ReferenceAnnotations(size)
    for rows in batches:
        sample.add(*(tensor[rows] for tensor in data))
    sample.exchange()
    return sample


def same(one: Annotations | None, other: Annotations | None) -> bool:
    assert one is not None
    assert other is not None
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def test_partners_by_hand() -> None:
    data = annotated()
    indices = data[0].tolist()
    sample = sorted(indices, key=lambda index: int(hash32(0x73616D70, torch.tensor(index))))[:8]
    found = gather(8, [torch.arange(40)], data).partner(data[0])
    assert found is not None
    inside = 0
    for row, index in enumerate(indices):
        place = int(hash32(0x70616972, torch.tensor(index))) % 8
        if index in sample:
            inside += 1
            place = (sample.index(index) + 1) % 8
        assert torch.equal(found.concepts[row], data[1][indices.index(sample[place])])
        assert torch.equal(found.image_concepts[row], data[2][indices.index(sample[place])])
    assert inside == 8


@pytest.mark.parametrize("size", [40, 256])
def test_where_all_are_sampled_each_comes_once(size: int) -> None:
    data = annotated()
    found = gather(size, [torch.arange(40)], data).partner(data[0])
    assert found is not None
    numbers = found.concepts[:, 0, 0, 0].tolist()
    assert sorted(numbers) == list(range(1, 41))
    # And not in the order of the images, of which neighbours are alike: a video's frames, say.
    assert sum(number % 40 == row + 1 for row, number in enumerate(numbers)) < 5


@pytest.mark.parametrize("size", [2, 3, 39, 40, 256])
def test_no_image_is_its_own_partner(size: int) -> None:
    data = annotated()
    found = gather(size, [torch.arange(40)], data).partner(data[0])
    assert found is not None
    assert found.concepts.dtype == torch.int16
    assert not (found.concepts[:, 0, 0, 0] == data[1][:, 0, 0, 0]).any()
    assert len(found.concepts.unique()) <= size


def test_order_batches_and_repeats_change_nothing() -> None:
    data = annotated()
    whole = gather(12, [torch.arange(40)], data).partner(data[0])
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for batches in (list(torch.arange(40).split(1)), list(order.split(7)), [order, order[:9], torch.arange(20)]):
        assert same(whole, gather(12, batches, data).partner(data[0]))
    # What an image gets depends on its own index alone.
    alone = gather(12, [order], data).partner(data[0][5:6])
    assert whole is not None
    assert same(alone, Annotations(*(labels[5:6] for labels in whole)))


def test_everyone_is_sampled_and_met_as_often() -> None:
    indices, none = torch.arange(6000), torch.zeros(6000, 0, 1, 1)
    whole = (indices[:, None] + 1).to(torch.int32)
    sample = ReferenceAnnotations(600)
    sample.add(indices, none, whole)
    sample.exchange()
    found = sample.partner(indices)
    assert found is not None
    met = Counter((found.image_concepts[:, 0] - 1).tolist())
    # A sample of 600 of 6,000: its mean index has a standard error of 1,732 / sqrt(600) = 71 or less.
    assert abs(sum(met) / len(met) - 2999.5) < 4 * 71
    # Each is met 10 times on average; 600 counts that are Poisson's have a variance of 10 +- 0.6.
    assert 8 < sum((times - 10) ** 2 for times in met.values()) / 600 < 12.5


def test_labels_of_other_lengths_are_padded() -> None:
    sample = ReferenceAnnotations()
    sample.add(torch.tensor([4]), torch.full((1, 1, 2, 2), 7, dtype=torch.int16), None)
    sample.add(torch.tensor([9]), torch.full((1, 3, 2, 2), 8, dtype=torch.int16), torch.tensor([[5, 6]]).short())
    sample.exchange()
    found = sample.partner(torch.tensor([9, 4]))
    assert found is not None
    assert found.concepts[:, :, 0, 0].tolist() == [[7, 0, 0], [8, 8, 8]]
    assert found.image_concepts.tolist() == [[0, 0], [5, 6]]


def test_memory_is_that_of_the_sample() -> None:
    sample = ReferenceAnnotations(3)
    for start in range(0, 100, 10):
        sample.add(torch.arange(start, start + 10), torch.zeros(10, 1, 8, 8, dtype=torch.int16))
    assert len(sample._candidates) == 3
    assert all(each.concepts.untyped_storage().nbytes() == 8 * 8 * 2 for each in sample._candidates)
    sample.exchange()
    assert not sample._candidates


def test_fewer_than_two_images_have_no_partner() -> None:
    for count in (0, 1):
        data = annotated(count)
        assert gather(256, [torch.arange(count)] * 2, data).partner(torch.arange(5)) is None


# Of two processes; some images come to both, as a sampler pads. Then one has no images at all.
SHARES = [(torch.arange(25), torch.arange(20, 40)), (torch.zeros(0, dtype=torch.int64), torch.arange(40))]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    data = annotated()
    for number, shares in enumerate(SHARES):
        batches = list(shares[rank].split(5)) if len(shares[rank]) else []
        torch.save(gather(12, batches, data).partner(data[0]), f"{folder}/{number}_{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_give_the_sample_of_one(tmp_path) -> None:
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    torch.set_num_threads(1)
    data = annotated()
    alone = gather(12, [torch.arange(40)], data).partner(data[0])
    for number in range(len(SHARES)):
        for rank in (0, 1):
            found = torch.load(tmp_path / f"{number}_{rank}.pt", weights_only=False)
            assert same(alone, found)


def test_independent_masks_detect_as_often_in_partners(count) -> None:
    table = ConceptTable([Concept(number, str(number), "color") for number in range(1, 7)])
    differences, numbers = [], []
    for run in range(60):
        generator = torch.Generator().manual_seed(run)
        # Concepts of quite different frequency; units of quite different area, active on stripes.
        shares = torch.tensor([0.3, 0.35, 0.2, 0.08, 0.04, 0.02, 0.01])
        concepts = torch.multinomial(shares, 60 * 4 * 2, True, generator=generator).view(60, 1, 4, 2).short()
        concepts = concepts.repeat_interleave(2, dim=3)
        chances = torch.linspace(0.01, 0.16, 24)[:, None, None]
        masks = (torch.rand(60, 24, 4, 2, generator=generator) < chances).repeat_interleave(2, dim=3)
        indices = 60 * run + torch.arange(60)
        sample = gather(60, [torch.arange(60)], (indices, concepts, concepts[:, 0, 0]))
        partners = sample.partner(indices)
        assert partners is not None
        found = []
        for labels in (concepts, partners.concepts):
            tally = count(table, masks, labels, None, indices)
            found.append(int((tally.iou().nan_to_num().amax(1) > 0.08).sum()))
        numbers.append(found[0])
        differences.append(found[1] - found[0])
    spread = torch.tensor(differences, dtype=torch.float64).std()
    assert 4 < sum(numbers) / len(numbers) < 20
    assert spread > 0
    assert abs(sum(differences) / 60) < 3 * spread / math.sqrt(60)


def test_what_is_not_allowed_is_named() -> None:
    with pytest.raises(ValueError, match="size must be at least 2"):
        ReferenceAnnotations(1)
    sample = ReferenceAnnotations()
    indices, concepts, whole = annotated(3)
    with pytest.raises(ValueError, match=r"concepts must be \(3, L, h, w\) .* got \(2, 2, 3, 4\) and \(3, 2\)"):
        sample.add(indices, concepts[:2], whole)
    with pytest.raises(ValueError, match=r"image_concepts \(3, M\) or None, got .* and \(2, 2\)"):
        sample.add(indices, concepts, whole[:2])
    with pytest.raises(ValueError, match=r"call exchange\(\) after the last batch"):
        sample.partner(indices)
    sample.add(indices, concepts, whole)
    sample.add(indices + 100, concepts.repeat(1, 1, 2, 1), whole)
    with pytest.raises(ValueError, match=r"annotations must be of one size, got \(3, 4\) and \(6, 4\)"):
        sample.exchange()
    finished = gather(4, [torch.arange(3)], annotated(3))
    with pytest.raises(ValueError, match="takes no further images"):
        finished.add(*annotated(3))
