"""Subsets of a data set by class, fixed by a seed: which classes, and how many images of each."""

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from advscope.counter_hash import permutation
from datamodules.class_folders import Classes

# What a random order is for.
_CLASSES, _IMAGES = 0x5C1A, 0x51A6


def choose_classes(wanted: int | Sequence[str] | None, classes: Classes, seed: int) -> Tensor | None:
    """Return the numbers of the classes that a subset consists of, ascending, int64 ``(k,)``; None for all.

    Args:
        wanted: How many, drawn as a function of (seed, number of classes): the choice of fewer is part of the choice
            of more. Or which, by folder (synset) or name. None takes all.
        classes: All classes, by number.
        seed: Seed of the draw.

    Raises:
        ValueError: If there are not so many, or a name is unknown, belongs to several classes, or is repeated.
    """
    count = len(classes.folders)
    if wanted is None:
        return None
    if isinstance(wanted, int):
        if not 1 <= wanted <= count:
            raise ValueError(f"subset_classes must be in 1 ... {count} (the number of classes), got {wanted}")
        return permutation(count, seed, _CLASSES)[:wanted].sort().values
    numbers = [_number(name, classes) for name in wanted]
    if not numbers:
        raise ValueError("subset_classes is an empty list: name classes, or give null for all")
    if len(set(numbers)) != len(numbers):
        repeated = next(name for name, number in zip(wanted, numbers, strict=True) if numbers.count(number) > 1)
        raise ValueError(f"subset_classes names {repeated} more than once: name each class once")
    return torch.tensor(sorted(numbers))


def in_subset(labels: Tensor, chosen: Tensor | None, per_class: int | None, seed: int, where: str) -> Tensor:
    """Return which images belong to a subset, bool ``(N,)``.

    Args:
        labels: Class of every image, int64 ``(N,)``, in the order of their indices.
        chosen: Numbers of the chosen classes; None for all.
        per_class: How many images of each class at most, the first of a random order that is a function of (seed,
            number of images): fewer are part of more. A class with fewer gives all it has. None takes all.
        seed: Seed of the draw.
        where: What a message calls the images.

    Raises:
        ValueError: If a chosen class has no image, or ``per_class`` is not positive.
    """
    if per_class is not None and per_class < 1:
        raise ValueError(f"images_per_class must be at least 1, got {per_class}")
    inside = torch.ones(len(labels), dtype=torch.bool)
    if chosen is not None:
        missing = chosen[~torch.isin(chosen, labels)]
        if len(missing):
            raise ValueError(
                f"{where} holds no image of {len(missing)} of the {len(chosen)} chosen classes, the first of them class"
                f" {int(missing[0])}: name classes that are there as subset_classes"
            )
        inside = torch.isin(labels, chosen)
    if per_class is not None:
        inside &= _rank_in_class(labels, permutation(len(labels), seed, _IMAGES)) < per_class
    return inside


def _rank_in_class(labels: Tensor, order: Tensor) -> Tensor:
    """Return how many images of its class stand before each image in an order, int64 ``(N,)``."""
    by_class = order[labels[order].argsort(stable=True)]
    counts = labels[by_class].unique_consecutive(return_counts=True)[1]
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    ranks = torch.empty_like(order)
    ranks[by_class] = torch.arange(len(order)) - starts
    return ranks


def _number(name: str, classes: Classes) -> int:
    if name in classes.folders:
        return classes.folders.index(name)
    if classes.names.count(name) > 1:
        folders = " ".join(folder for folder, other in zip(*classes, strict=True) if other == name)
        raise ValueError(f"subset_classes: several classes are named {name!r}; give one of the folders {folders}")
    if name in classes.names:
        return classes.names.index(name)
    known = list(dict.fromkeys([*classes.folders, *classes.names]))  # a folder may be its own name
    near = get_close_matches(str(name), known, n=3, cutoff=0.0)
    raise ValueError(f"subset_classes: there is no class {name!r}; the nearest are {', '.join(near)}")
