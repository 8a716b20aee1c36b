"""The significance of the most sensitive units of every layer, as rows of a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advscope.measures.dissection.analytic_significance import analytic_p_values
from advscope.measures.dissection.holm import holm
from advscope.measures.dissection.matched_significance import matched_p_values
from advscope.measures.dissection.unit_significance import top_units_p_values

TOP = (10, 20, 30, 50, 80, 100)
"""Numbers N of most sensitive units that are compared with random ones (Xu et al. 2019, Figure 7)."""


class LayerUnits(NamedTuple):
    """What is known of the K units of a layer."""

    interpretability: Tensor
    """IoU(k), ``(K,)``."""
    sensitivity: Tensor
    """v(k), ``(K,)``."""
    areas: Tensor
    """Pixels on which each unit is active over all clean images, ``(K,)``."""
    regular: Tensor
    """Whether its threshold is neither 0 nor the unit's maximum, bool ``(K,)``."""
    images: int
    """Attacked images, over which v(k) is taken."""


class SignificanceRow(NamedTuple):
    """One layer, N and choice of units."""

    layer: str
    top: int
    """N."""
    units: int
    """Units that are ranked."""
    regular: int
    """1 where only regular units take part, 0 where all do."""
    images: int
    """Attacked images, over which the sensitivity is taken."""
    p: float
    """By random sets of N units."""
    p_approximate: float
    """Without random draws."""
    method: str
    """How: ``exact`` or ``normal``; nothing where it is ``nan``."""
    p_corrected: float
    """``p`` by Holm's correction over the layers and N of the same choice of units."""
    p_matched: float
    """By random sets of units whose masks are as large."""
    p_matched_corrected: float
    """``p_matched`` corrected alike."""
    undefined: int
    """Units of the choice that are left out, as IoU(k) or v(k) is ``nan``."""


def significance_rows(
    layers: Mapping[str, LayerUnits], tops: Sequence[int] = TOP, draws: int = 10_000, seed: int = 0
) -> list[dict[str, Any]]:
    """Return whether the N most sensitive units are more interpretable than random ones, in every layer.

    Args:
        layers: The units of each layer, by its name.
        tops: The N, each at least 1.
        draws: Random sets behind each p.
        seed: Seed of the draws.

    Returns:
        One mapping with the fields of :class:`SignificanceRow` for each layer, choice of units (all, then the regular
        ones) and N, in this order. All p are ``nan`` where no more than N units are ranked.

    Raises:
        ValueError: If an N or ``draws`` is less than 1, or a layer's tensors differ in shape.
    """
    rows: list[SignificanceRow] = []
    for layer, units in layers.items():
        try:
            for regular in (0, 1):
                rows += _rows(layer, units, regular, tops, draws, seed)
        except ValueError as error:
            raise ValueError(f"layer {layer!r}: {error}") from None
    for regular in (0, 1):
        places = [place for place, row in enumerate(rows) if row.regular == regular]
        corrected = holm([rows[place].p for place in places])
        matched = holm([rows[place].p_matched for place in places])
        for place, p, p_matched in zip(places, corrected, matched, strict=True):
            rows[place] = rows[place]._replace(p_corrected=p, p_matched_corrected=p_matched)
    return [row._asdict() for row in rows]


def _rows(
    layer: str, units: LayerUnits, regular: int, tops: Sequence[int], draws: int, seed: int
) -> list[SignificanceRow]:
    """Return the rows of a layer and choice of units, not yet corrected."""
    if not units.interpretability.shape == units.sensitivity.shape == units.areas.shape == units.regular.shape:
        raise ValueError(f"interpretability, sensitivity, areas and regular must be (K,), got {_shapes(units)}")
    if units.regular.dtype != torch.bool:
        raise ValueError(
            f"regular must be bool, got {units.regular.dtype}: give a mask of the units, not their numbers"
        )
    chosen = units.regular if regular else torch.ones_like(units.regular)
    # Many small steps on a few thousand numbers, which a processor does at once.
    scores, sensitivity, areas = (
        values[chosen].cpu() for values in (units.interpretability, units.sensitivity, units.areas)
    )
    known = int((~(scores.isnan() | sensitivity.isnan())).sum())
    p_values = top_units_p_values(scores, sensitivity, tops, draws, seed)
    analytic = analytic_p_values(scores, sensitivity, tops)
    matched = matched_p_values(scores, sensitivity, areas, tops, draws, seed)
    return [
        SignificanceRow(
            layer=layer,
            top=top,
            units=known,
            regular=regular,
            images=units.images,
            p=p_values[top],
            p_approximate=analytic[top].p,
            method=analytic[top].method,
            p_corrected=math.nan,
            p_matched=matched[top],
            p_matched_corrected=math.nan,
            undefined=len(scores) - known,
        )
        for top in tops
    ]


def _shapes(units: LayerUnits) -> str:
    """Return the shapes of a layer's tensors, for an error."""
    tensors = (units.interpretability, units.sensitivity, units.areas, units.regular)
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
