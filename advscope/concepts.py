"""The labels of concepts: numbers, names and categories, in Broden's manner."""

from typing import NamedTuple


class Concept(NamedTuple):
    """A label that annotated images bear, on pixels or as a whole."""

    number: int
    """From 1; 0 is unlabelled."""
    name: str
    """Colours end in ``-c``, scenes in ``-s``, as in Broden."""
    category: str
    """``object``, ``part``, ``color``, ``texture``, ``material`` or ``scene``; of several, the one that covers most."""
