"""Where units respond in a few image pairs of each run, for the page."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advscope.report.masked_picture import show_share
from advscope.report.page.pictures import Pictures, to_bytes
from advscope.report.run_results import RunResults
from advscope.report.unit_examples import UnitExamples, read_unit_examples

PAIRS = 2
UNITS = 6
_OF_A_ROLE = 2


def unit_cards(runs: Sequence[RunResults], pictures: Pictures) -> list[dict[str, Any]]:
    """Return two image pairs and six units of each run that has examples.

    A mask is stored as what lies outside of it, a path over the image, so that no picture is stored twice.

    Args:
        runs: The runs; one without ``unit_examples.npz``, or whose images have neither 1 nor 3 channels, has no card.
        pictures: Where the images go.

    Returns:
        For each run with some its number ``run``, ``pairs`` (names, pictures) and ``units`` (names, role, and for each
        pair the covering paths and shares of the clean and the adversarial image).

    Raises:
        ValueError: If a file is damaged.
    """
    cards = []
    for position, run in enumerate(runs):
        path = run.results / "unit_examples.npz"
        found = read_unit_examples(path) if path.is_file() else None
        if found is None or not len(found.images) or not len(found.units) or found.images.shape[1] not in (1, 3):
            continue
        pairs = range(min(PAIRS, len(found.images)))
        cards.append(
            {
                "run": position,
                "size": list(found.masks.shape[2:]),
                "small": found.images.shape[-1] <= 64,
                "pairs": [_pair(found, pair, pictures) for pair in pairs],
                "units": [_unit(found, place, pairs) for place in shown_units(found.roles.tolist())],
            }
        )
    return cards


def shown_units(roles: Sequence[str], count: int = UNITS) -> list[int]:
    """Return the places of the units that are shown, in their order.

    Two that the attack suppresses and two that it promotes come first, then the others as they stand, as many as fit.

    Example:
        >>> shown_units(["detector", "detector", "promoted", "suppressed", "promoted", "promoted"], 4)
        [0, 2, 3, 4]
    """
    chosen = [
        place
        for role in ("suppressed", "promoted")
        for place in [place for place, name in enumerate(roles) if name == role][:_OF_A_ROLE]
    ]
    others = [place for place in range(len(roles)) if place not in chosen]
    return sorted([*chosen, *others][:count])


def outside_path(mask: NDArray[np.bool_]) -> str:
    """Return what lies outside of a mask ``(h, w)`` as a path of SVG in units of its positions.

    Rows that are alike are one, so that a mask of a coarse layer takes a few letters.

    Example:
        >>> outside_path(np.array([[True, False, False], [True, False, False], [True, True, False]]))
        'M1 0h2v2h-2zM2 2h1v1h-1z'
    """
    parts, top = [], 0
    for row, alike in groupby(np.asarray(mask, dtype=bool).tolist()):
        height, left = len(list(alike)), 0
        for inside, run in groupby(row):
            width = len(list(run))
            if not inside:
                parts.append(f"M{left} {top}h{width}v{height}h-{width}z")
            left += width
        top += height
    return "".join(parts)


def _pair(found: UnitExamples, pair: int, pictures: Pictures) -> dict[str, Any]:
    """Return an image pair's names and pictures."""
    return {
        "index": int(found.indices[pair]),
        "label": str(found.labels[pair]),
        "target": str(found.targets[pair]),
        "clean": pictures.add(to_bytes(found.images[pair])),
        "adversarial": pictures.add(to_bytes(found.adversarials[pair])),
    }


def _unit(found: UnitExamples, place: int, pairs: range) -> dict[str, Any]:
    """Return a unit's names and where it responds."""
    concept = str(found.concepts[place])
    return {
        "name": f"{found.layers[place]} {int(found.units[place])}",
        "concept": f"{concept}-{found.categories[place]}" if concept else "no concept",
        "role": str(found.roles[place]),
        "clean": [_mask(found.masks[pair, place]) for pair in pairs],
        "adversarial": [_mask(found.adversarial_masks[pair, place]) for pair in pairs],
    }


def _mask(mask: NDArray[np.bool_]) -> list[str]:
    """Return what lies outside of a mask, and its share."""
    return [outside_path(mask), show_share(mask)]
