"""Counts of pixels: concepts as sets, sums that add up exactly, and memory that does not grow."""

import math

import pytest
import torch

from advscope.concepts import Concept
from advscope.measures import ConceptTable, ConceptTally
from advscope.measures.dissection.image_groups import group_of

CONCEPTS = (
    Concept(2, "red-c", "color"),
    Concept(7, "tree", "object"),
    Concept(4, "sky", "object"),
    Concept(9, "lake-s", "scene"),
)


def test_a_label_in_two_layers_at_one_pixel_is_there_once() -> None:
    concepts = torch.tensor([[[[7, 7, 0]], [[7, 0, 2]]]], dtype=torch.int16)
    (image,) = ConceptTable(CONCEPTS).of_images(concepts, torch.tensor([[9, 0]], dtype=torch.int16))
    assert image.columns.tolist() == [0, 1, 3]
    assert image.pixels.tolist() == [[[0, 0, 1]], [[1, 1, 0]]]


def test_a_label_of_the_whole_image_is_on_all_of_its_pixels_once() -> None:
    concepts = torch.tensor([[[[7, 4]]]], dtype=torch.int16)
    (image,) = ConceptTable(CONCEPTS).of_images(concepts, torch.tensor([[7, 7]], dtype=torch.int16))
    assert image.columns.tolist() == [2, 1]
    assert image.pixels.tolist() == [[[0, 1]]]


def test_by_hand(count) -> None:
    # Two images of 1 x 4 pixels; the unit is on the first two pixels of each.
    table = ConceptTable(CONCEPTS)
    masks = torch.tensor([[[[True, True, False, False]]]] * 2)
    concepts = torch.tensor([[[[7, 0, 7, 0]]], [[[2, 0, 0, 2]]]], dtype=torch.int16)
    whole = torch.tensor([[0], [9]], dtype=torch.int16)
    tally = count(table, masks, concepts, whole, torch.tensor([3, 5]))
    # Over all images the union of tree is 4 + 2 - 1; objects are on the first image alone: 2 + 2 - 1.
    assert tally.iou("all")[0].tolist() == pytest.approx([1 / 5, 1 / 5, 0, 2 / 6])
    assert tally.iou("category")[0].tolist() == pytest.approx([1 / 3, 1 / 3, 0, 2 / 4])
    assert tally.images.sum() == 2


def test_without_a_pixel_iou_is_undefined(count) -> None:
    table = ConceptTable(CONCEPTS)
    masks = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    masks[:, 1] = True
    concepts = torch.tensor([[[[7, 7], [0, 0]]]], dtype=torch.int16)
    tally = count(table, masks, concepts, None, torch.tensor([0]))
    dead, active = tally.iou("all").tolist()
    assert dead[1] == 0
    assert all(math.isnan(dead[column]) for column in (0, 2, 3))
    assert active == [0, 0.5, 0, 0]
    # No image bears a colour: by the category's union there is nothing to be divided by.
    assert math.isnan(tally.iou("category")[1, 0])


def test_counts_add_up_in_any_order_and_memory_does_not_grow(count) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(30, 5, 6, 6, generator=generator) < 0.3
    numbers = torch.tensor([0, 2, 7, 4], dtype=torch.int16)
    concepts = numbers[torch.randint(4, (30, 2, 6, 6), generator=generator)]
    whole = torch.tensor([0, 9], dtype=torch.int16)[torch.randint(2, (30, 1), generator=generator)]
    table = ConceptTable(CONCEPTS)
    one, other = ConceptTally(5, table), ConceptTally(5, table, pixels=30 * 36)
    assert (one.images.dtype, other.images.dtype) == (torch.int64, torch.int32)
    count(table, masks, concepts, whole, torch.arange(30), one)
    sizes = [value.numel() for value in vars(other).values() if isinstance(value, torch.Tensor)]
    for rows in torch.randperm(30, generator=generator).split(7):
        count(table, masks[rows], concepts[rows], whole[rows], rows, other)
    for name in ("intersections", "unit_areas", "category_areas", "concept_areas", "images"):
        assert torch.equal(getattr(one, name), getattr(other, name).long()), name
    assert sizes == [value.numel() for value in vars(other).values() if isinstance(value, torch.Tensor)]
    expected = (masks.float().flatten(2) @ (concepts == 7).any(1).flatten(1)[:, :, None].float()).sum((0, 2))
    assert one.intersections.sum(0)[:, 1].tolist() == expected.tolist()


def test_groups_are_samples_of_any_regular_order() -> None:
    indices = torch.arange(20_000_000, 20_020_000)
    groups = group_of(indices)
    assert torch.equal(group_of(indices.flip(0)), groups.flip(0))
    sizes = groups.bincount(minlength=10)
    assert len(sizes) == 10
    assert (sizes - 2000).abs().max() < 5 * math.sqrt(20_000 * 0.09)
    # Every tenth image, or a tenth of all in a row, is spread over the groups as all images are.
    for kind in (*(groups[start::10] for start in range(10)), *groups.split(2000)):
        assert (kind.bincount(minlength=10) - 200).abs().max() < 5 * math.sqrt(2000 * 0.09)


@pytest.mark.parametrize("number", [1, 3, 10, -2, 30_000])
def test_a_label_that_is_not_in_the_table_is_refused_in_pixels_and_images(number: int) -> None:
    table = ConceptTable(CONCEPTS)
    wrong, right = torch.zeros(1, 1, 2, 2, dtype=torch.int16), torch.zeros(1, 1, 2, 2, dtype=torch.int16)
    wrong[0, 0, 1, 1] = number
    message = f"an image bears label {number}, which is not among the 4 concepts given"
    for concepts, whole in ((wrong, None), (right, torch.tensor([[0, number]], dtype=torch.int16))):
        with pytest.raises(ValueError, match=message):
            table.check(concepts, whole)
        with pytest.raises(ValueError, match=message):
            table.of_images(concepts, whole)


@pytest.mark.parametrize(
    ("concepts", "whole", "message"),
    [
        (torch.zeros(2, 3, 3, dtype=torch.int16), None, r"concepts must be integers \(N, L, h, w\), got torch.int16"),
        (torch.zeros(2, 1, 3, 3), None, "concepts must be integers .* got torch.float32"),
        (
            torch.zeros(2, 1, 3, 3, dtype=torch.int16),
            torch.zeros(3, 1, dtype=torch.int16),
            r"image_concepts must be integers \(2, M\), got torch.int16 \(3, 1\)",
        ),
    ],
)
def test_annotations_of_another_shape_are_refused(concepts, whole, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConceptTable(CONCEPTS).check(concepts, whole)
    with pytest.raises(ValueError, match='union must be "all" or "category", got \'some\''):
        ConceptTally(1, ConceptTable(CONCEPTS)).iou("some")
