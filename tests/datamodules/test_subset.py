"""Tests of subsets by class, against plain loops."""

import pytest
import torch

from advscope.counter_hash import permutation
from datamodules.class_folders import Classes
from datamodules.subset import choose_classes, in_subset

CLASSES = Classes(("n0", "n1", "n2", "n3", "n4"), ("tench", "crane", "crane", "dog", "cat"))
LABELS = torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(0))


def test_a_number_of_classes_is_drawn_by_the_seed_and_fewer_are_part_of_more() -> None:
    many = Classes(*[tuple(f"n{number}" for number in range(1000))] * 2)
    chosen = {count: choose_classes(count, many, 3).tolist() for count in (1, 10, 100, 1000)}

    assert [len(set(numbers)) for numbers in chosen.values()] == [1, 10, 100, 1000]
    assert set(chosen[1]) < set(chosen[10]) < set(chosen[100])
    assert chosen[10] == sorted(chosen[10]) != list(range(10))
    assert choose_classes(10, many, 3).tolist() == chosen[10] != choose_classes(10, many, 4).tolist()
    assert choose_classes(None, many, 3) is None


def test_classes_are_named_by_folder_or_name() -> None:
    assert choose_classes(["dog", "n0"], CLASSES, 0).tolist() == [0, 3]
    assert choose_classes(["n2"], CLASSES, 0).tolist() == [2]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (6, r"in 1 ... 5 \(the number of classes\), got 6"),
        (0, "got 0"),
        ([], "empty list"),
        (["n1", "n1"], "names n1 more than once"),
        (["tench", "n0"], "more than once"),
        (["crane"], "several classes are named 'crane'; give one of the folders n1 n2"),
        (["dgo"], "there is no class 'dgo'; the nearest are dog"),
    ],
)
def test_rejects_classes(wanted, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_classes(wanted, CLASSES, 0)


def test_a_class_whose_folder_is_its_name_is_proposed_once() -> None:
    names = ("n01", "n02", "n03")
    with pytest.raises(ValueError, match=r"the nearest are n0[123], n0[123], n0[123]$") as error:
        choose_classes(["nope"], Classes(names, names), 0)
    assert all(str(error.value).count(name) == 1 for name in names)


@pytest.mark.parametrize("per_class", [1, 3, 39, 1000])
def test_images_of_a_class_are_the_first_of_a_random_order(per_class: int) -> None:
    order = permutation(200, 7, 0x51A6).tolist()
    taken: dict[int, list[int]] = {}
    for place in order:
        mine = taken.setdefault(int(LABELS[place]), [])
        if len(mine) < per_class:
            mine.append(place)

    inside = in_subset(LABELS, None, per_class, 7, "here")

    assert inside.nonzero().flatten().tolist() == sorted(place for mine in taken.values() for place in mine)
    more = in_subset(LABELS, None, per_class + 1, 7, "here")
    assert bool((more | ~inside).all())


def test_classes_and_images_are_chosen_together() -> None:
    alone = in_subset(LABELS, None, 4, 1, "here")
    both = in_subset(LABELS, torch.tensor([1, 4]), 4, 1, "here")

    # Which images of a class are taken does not depend on the other classes.
    assert torch.equal(both, alone & torch.isin(LABELS, torch.tensor([1, 4])))
    assert both.sum() == 8
    assert in_subset(LABELS, None, None, 1, "here").all()


def test_rejects_classes_without_images() -> None:
    with pytest.raises(ValueError, match="val holds no image of 2 of the 3 chosen classes, the first of them class 7"):
        in_subset(LABELS, torch.tensor([1, 7, 9]), None, 0, "val")
    with pytest.raises(ValueError, match="images_per_class must be at least 1, got 0"):
        in_subset(LABELS, None, 0, 0, "val")
