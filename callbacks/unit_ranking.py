"""What ranks the units of a layer: a dissection in the same evaluation, or the units.csv of another one."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor

from advscope.report import read_units
from advscope.tables.csv_table import DIGITS
from callbacks.dissection import DissectionMonitor


def dissection_before(callbacks: Sequence[Callback], monitor: Callback, layer: str) -> DissectionMonitor:
    """Return the monitor that dissects a layer before another monitor has its turn.

    Raises:
        ValueError: If there is none.
    """
    before = callbacks[: list(callbacks).index(monitor)]
    found = next((each for each in before if isinstance(each, DissectionMonitor)), None)
    name = type(monitor).__name__
    if found is None:
        raise ValueError(
            f"{name}: nothing ranks the units; put a callbacks.DissectionMonitor before it, or name a units.csv as "
            "ranking"
        )
    if found.layers is not None and layer not in found.layers:
        raise ValueError(
            f"{name}: the DissectionMonitor has no layer {layer}; name it among its layers, which are "
            f"{', '.join(found.layers)}"
        )
    return found


COLUMNS = {"attacked": "sensitivity", "all": "sensitivity_all"}
"""Column of v(k), by the images that it is over."""


def ranking_file(path: str | Path, layer: str, count: int, over: str) -> tuple[Tensor, Tensor]:
    """Return v and IoU(k) of a layer's units from a ``units.csv``; see :func:`ranking`.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    return ranking(read_units(path), layer, count, over, str(path))


def ranking_rows(rows: Sequence[Mapping[str, Any]], layer: str, count: int, over: str) -> tuple[Tensor, Tensor]:
    """Return v and IoU(k) of a layer's units from the rows of a dissection; see :func:`ranking`."""
    names = ("layer", "unit", COLUMNS[over], "interpretability")
    return ranking({name: [row[name] for row in rows] for name in names}, layer, count, over, "the dissection")


def ranking(columns: Mapping[str, Any], layer: str, count: int, over: str, where: str) -> tuple[Tensor, Tensor]:
    """Return v and IoU(k) of a layer's units by number, float64 ``(count,)`` each, nan where undefined.

    Args:
        columns: Units of any layers by column: ``layer``, ``unit``, ``interpretability``, and the one of v(k).
        layer: Name of the layer.
        count: How many units it has.
        over: Whether v(k) is over the ``attacked`` images, or over ``all``.
        where: What a message calls the columns.

    Raises:
        ValueError: If the layer is not there, or its units are not numbered from 0 to ``count`` - 1.
    """
    layers = [str(name) for name in columns["layer"]]
    if layer not in layers:
        near = ", ".join(get_close_matches(layer, sorted(set(layers)), n=3, cutoff=0.0)) or "none"
        raise ValueError(f"{where} ranks no unit of layer {layer}; dissect it, or name one that is there: {near}")
    here = [place for place, name in enumerate(layers) if name == layer]
    units = [int(columns["unit"][place]) for place in here]
    if sorted(units) != list(range(count)):
        raise ValueError(
            f"{where} ranks {len(units)} units of layer {layer}, numbered {min(units)} to {max(units)}, and this "
            f"network's has the units 0 to {count - 1}; take the units.csv of a dissection of this network"
        )
    found = torch.full((2, count), torch.nan, dtype=torch.float64)
    for row, name in enumerate((COLUMNS[over], "interpretability")):
        # With the digits of units.csv: a ranking is the same whether or not it was read from there.
        values = [float(f"{float(columns[name][place]):.{DIGITS}g}") for place in here]
        found[row, units] = torch.tensor(values, dtype=torch.float64)
    return found[0], found[1]
