"""Dissection as it was first published, in plain numpy: all activations in memory, unit after unit.

The peer of :mod:`benchmarks.dissection`, written anew from the description of the procedure (Bau et al., *Network
Dissection*, CVPR 2017, and its light edition for PyTorch), which no longer runs. It is treated well: activations stay
in memory and not in a file, and whatever numpy does at once for a unit is done at once.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from advscope.concepts import Concept
from advscope.measures.dissection.order_statistics import allowed_above

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

RESOLUTION = 24 * 1024
"""Values per unit that the sketch holds of each weight."""


class QuantileSketch:
    """An approximate quantile of every unit: what overflows is sorted, halved, and kept at twice the weight.

    Args:
        resolution: Values per unit and weight, even.
        seed: Of the coin that says which half stays.
    """

    def __init__(self, resolution: int = RESOLUTION, seed: int = 1) -> None:
        self.resolution = resolution
        self.coin = np.random.default_rng(seed)
        self.levels: list[list[Floats]] = [[]]
        self.values = 0

    def add(self, values: Floats) -> None:
        """Take in values ``(K, P)``."""
        self.values += values.shape[1]
        room = self.resolution - sum(part.shape[1] for part in self.levels[0])
        while values.shape[1] > room:
            self._insert(0, values[:, :room])
            values, room = values[:, room:], self.resolution
        self._insert(0, values)

    def _insert(self, level: int, values: Floats) -> None:
        parts = self.levels[level]
        parts.append(values)
        if sum(part.shape[1] for part in parts) < self.resolution:
            return
        held = np.sort(np.concatenate(parts, axis=1), axis=1)
        self.levels[level] = []
        if level + 1 == len(self.levels):
            self.levels.append([])
        self._insert(level + 1, held[:, int(self.coin.integers(2)) :: 2])

    def top(self, quantile: float) -> Floats:
        """Return the smallest value held that is exceeded by a weight of at most floor(q n), ``(K,)``."""
        held = [(1 << level, part) for level, parts in enumerate(self.levels) for part in parts]
        values = np.concatenate([part for _, part in held], axis=1)
        above = allowed_above(quantile, self.values)
        if len(self.levels) == 1:  # nothing was thinned out: no weights to sum
            return np.partition(values, self.values - 1 - above, axis=1)[:, self.values - 1 - above]
        weights = np.concatenate([np.full(part.shape[1], weight) for weight, part in held])
        order = np.argsort(values, axis=1)[:, ::-1]
        places = np.argmax(np.cumsum(weights[order], axis=1) > above, axis=1)
        thresholds: Floats = np.take_along_axis(values, np.take_along_axis(order, places[:, None], 1), 1)[:, 0]
        return thresholds


def categories_of(concepts: Sequence[Concept]) -> NDArray[np.int64]:
    """Return the place of each label number's category among all, in the order in which concepts name them."""
    places = {category: place for place, category in enumerate(dict.fromkeys(each.category for each in concepts))}
    categories = np.zeros(max(each.number for each in concepts) + 1, np.int64)
    for concept in concepts:
        categories[concept.number] = places[concept.category]
    return categories


def plain_thresholds(parts: Iterable[Floats], quantile: float, resolution: int = RESOLUTION) -> Floats:
    """Return every unit's threshold, ``(K,)``.

    Args:
        parts: Activations of some images each, ``(N, K, h, w)``.
        quantile: Share of its positions on which a unit is to be active.
        resolution: Of the sketch.
    """
    sketch = QuantileSketch(resolution)
    for part in parts:
        sketch.add(part.transpose(1, 0, 2, 3).reshape(part.shape[1], -1))
    return sketch.top(quantile)


class PlainTally(NamedTuple):
    """Pixels over all images, of ``K`` units and label numbers up to ``B - 1``; the column of 0 means nothing."""

    areas: Whole
    """Of each mask, ``(K,)``."""
    met: Whole
    """Of each mask and label, ``(K, B)``."""
    category_areas: Whole
    """Of each mask, over the images on which it meets a label of the category, ``(K, categories)``."""
    label_areas: Whole
    """Of each label, ``(B,)``."""

    def iou(self, categories: NDArray[np.int64]) -> Floats:
        """Return the IoU ``(K, B)`` of units and labels, whose categories are given."""
        union = self.category_areas[:, categories] + self.label_areas - self.met
        iou: Floats = self.met / (union + 1e-20)
        return iou


def plain_tally(
    activations: Floats, thresholds: Floats, labels: Whole, whole: Whole, categories: NDArray[np.int64]
) -> PlainTally:
    """Count where masks meet labels, image by image and unit by unit.

    A label that stands in two layers at one pixel counts twice, as it did there.

    Args:
        activations: Of all images, ``(N, K, h, w)``.
        thresholds: Of the units, ``(K,)``.
        labels: Label numbers of the pixels, ``(N, L, H, W)``, 0 for none.
        whole: Label numbers of whole images, ``(N, M)``, 0 for none.
        categories: Category of each label number, ``(B,)``.
    """
    units, numbers, (height, width) = activations.shape[1], len(categories), labels.shape[-2:]
    kinds = int(categories.max()) + 1
    areas, met = np.zeros(units, np.int64), np.zeros((units, numbers), np.int64)
    category_areas, label_areas = np.zeros((units, kinds), np.int64), np.zeros(numbers, np.int64)
    none = np.zeros(numbers, np.int64)
    for maps, layers, on_all in zip(activations, labels, whole, strict=True):
        flat = layers.reshape(len(layers), -1)
        on_all = on_all[on_all > 0]
        counted = np.bincount(flat.ravel(), minlength=numbers)
        label_areas += counted
        present = np.flatnonzero(counted[1:]) + 1
        label_areas[on_all] += height * width
        of_present, of_all = categories[present], np.unique(categories[on_all])
        for unit in np.flatnonzero(maps.max((1, 2)) > thresholds):
            places = np.flatnonzero(_enlarged(maps[unit], (height, width)) > thresholds[unit])
            area = len(places)
            areas[unit] += area
            shared = sum((np.bincount(layer[places], minlength=numbers) for layer in flat), start=none)
            met[unit] += shared
            met[unit, on_all] += area
            meets = np.zeros(kinds, bool)
            meets[of_present[shared[present] > 0]] = True
            meets[of_all] = True
            category_areas[unit] += area * meets
    return PlainTally(areas, met, category_areas, label_areas)


def _enlarged(values: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map at another resolution, as Pillow's bilinear filter has it."""
    scaled = Image.fromarray(values.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(scaled)
