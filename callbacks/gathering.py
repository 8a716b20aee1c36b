"""Putting together what batches, monitors and processes found."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor

Columns = dict[str, dict[str, Tensor]]
"""By attack, then by name: one entry per image, under ``index`` the images."""


def gathered(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of all processes."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return [part]
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, part)
    return parts


def merged(parts: Iterable[Columns]) -> Columns:
    """Return each attack's columns over all batches."""
    batches: dict[str, list[dict[str, Tensor]]] = {}
    for part in parts:
        for attack, columns in part.items():
            batches.setdefault(attack, []).append(columns)
    return {
        attack: {name: torch.cat([batch[name] for batch in found]) for name in found[0]}
        for attack, found in batches.items()
    }


def joined(sources: Iterable[Columns]) -> dict[str, dict[str, NDArray[Any]]]:
    """Return each attack's columns from every source, one entry per image, in the order of the images.

    The first source of an attack has all its images; a measure that another source has for some of them is nan for the
    others.
    """
    found: dict[str, dict[str, list[tuple[NDArray[Any], NDArray[Any]]]]] = {}
    for source in sources:
        for attack, columns in source.items():
            index = columns["index"].numpy()
            for name, column in columns.items():
                found.setdefault(attack, {}).setdefault(name, []).append((index, column.numpy()))
    attacks = {}
    for attack in sorted(found):
        index = np.unique(np.concatenate([each for each, _ in found[attack]["index"]]))
        attacks[attack] = {name: _placed(index, parts) for name, parts in found[attack].items()}
    return attacks


def _placed(index: NDArray[Any], parts: list[tuple[NDArray[Any], NDArray[Any]]]) -> NDArray[Any]:
    """Return the values of a column at the places of their images."""
    dtype = parts[0][1].dtype
    placed = np.full(len(index), np.nan if np.issubdtype(dtype, np.floating) else 0, dtype)
    for where, values in parts:
        placed[np.searchsorted(index, where)] = values
    return placed


def counts(attacks: dict[str, dict[str, NDArray[Any]]]) -> dict[str, dict[str, int]]:
    """Return how many images each attack could count, and on how many it failed."""
    return {
        attack: {
            "eligible": int(columns["eligible"].sum()),
            "ineligible": int((~columns["eligible"]).sum()),
            "attacked": int(columns["attacked"].sum()),
            "failed": int((columns["eligible"] & ~columns["attacked"]).sum()),
        }
        for attack, columns in attacks.items()
    }


def chosen_examples(sources: Sequence[Columns], order: Tensor, examples: int) -> dict[str, Tensor]:
    """Return the arrays of the first images, in the split's order, that every source has, joined by index.

    Args:
        sources: Arrays by attack and name, ``indices`` among them.
        order: Places in the data set of the split's images, in its order.
        examples: How many images at most, per attack.
    """
    place_of = {index: place for place, index in enumerate(order.tolist())}
    arrays: dict[str, Tensor] = {}
    for attack in sorted({attack for source in sources for attack in source}):
        by_name: dict[str, dict[int, Tensor]] = {}
        for source in sources:
            fields = source.get(attack, {})
            for place, index in enumerate(fields.get("indices", torch.empty(0)).tolist()):
                for name, field in fields.items():
                    by_name.setdefault(name, {})[index] = field[place]
        common = set.intersection(*(set(rows) for rows in by_name.values())) if by_name else set()
        # Each process has the first of its share: only those of all are the same for any number of processes.
        first = sorted(sorted(common, key=place_of.__getitem__)[:examples])
        if first:
            for name, rows in by_name.items():
                arrays[f"{attack}/{name}"] = torch.stack([rows[index] for index in first])
    return arrays
