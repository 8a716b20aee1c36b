"""The labels of ConceptShapes: numbers, names and categories, as Broden has them."""

import numpy as np
from numpy.typing import NDArray

from advscope.concepts import Concept
from datamodules.rendering import palette, scenes, shapes, textures

LAYERS = ("object", "part", "color", "texture", "scene")
"""Layers of ``concepts``, one per category."""


def _concepts() -> tuple[Concept, ...]:
    named = [
        *((name, "object") for name in shapes.NAMES),
        *((name, "part") for name in shapes.PARTS),
        *((f"{name}-c", "color") for name in palette.NAMES),
        *((name, "texture") for name in textures.NAMES[1:]),
        *((f"{name}-s", "scene") for name in scenes.NAMES),
    ]
    return tuple(Concept(number, name, category) for number, (name, category) in enumerate(named, start=1))


CONCEPTS = _concepts()
"""Every label, in the order of the numbers."""

_NUMBERS = {(concept.category, concept.name): concept.number for concept in CONCEPTS}


def concept_number(category: str, name: str) -> int:
    """Return the number of a label.

    Raises:
        ValueError: If there is no such label.
    """
    if (category, name) not in _NUMBERS:
        known = ", ".join(concept.name for concept in CONCEPTS if concept.category == category) or ", ".join(LAYERS)
        raise ValueError(f"there is no {category} {name!r}; there are {known}")
    return _NUMBERS[category, name]


def concept_numbers(category: str) -> NDArray[np.int16]:
    """Return the numbers of a category's labels, in their order; ``(0,)`` if there is no such category."""
    return np.array([concept.number for concept in CONCEPTS if concept.category == category], np.int16)
