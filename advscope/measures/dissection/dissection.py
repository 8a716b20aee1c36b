"""What a dissection found, layer by layer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from advscope.concepts import Concept
from advscope.intervals import Estimate
from advscope.measures.dissection.dissected_layer import DissectedLayer
from advscope.measures.dissection.dissection_files import save_dissection
from advscope.measures.dissection.rank_correlation import spearman_estimate
from advscope.measures.dissection.settings import DissectionSettings
from advscope.measures.dissection.significance_rows import LayerUnits, significance_rows

if TYPE_CHECKING:
    import pandas


class Dissection(Mapping[str, DissectedLayer]):
    """The dissected layers by name, from input to output, and what holds for all of them.

    Args:
        layers: What was found in each layer.
        concepts: Every label, in the order of the columns of ``iou``.
        settings: How it was done.
        mask_size: Height and width at which masks and annotations were compared, in pixels.
        unlabelled: Number of images without any label.
        attacked: Places in the data set of the first attacked images, at most 16, to be shown.

    Attributes:
        significance: One mapping for each layer, N and choice of units
            (:class:`~advscope.measures.dissection.significance_rows.SignificanceRow`).
    """

    def __init__(
        self,
        layers: Mapping[str, DissectedLayer],
        concepts: Sequence[Concept],
        settings: DissectionSettings,
        mask_size: tuple[int, int],
        unlabelled: int,
        attacked: tuple[int, ...] = (),
    ) -> None:
        self.concepts = tuple(concepts)
        self.settings = settings
        self.mask_size = mask_size
        self.unlabelled = unlabelled
        self.attacked = attacked
        units = {name: _units(layer) for name, layer in layers.items()}
        self.significance = significance_rows(units, draws=settings.draws)
        self._layers = {
            name: layer._replace(
                figures={
                    **layer.figures,
                    "images_unlabelled": Estimate(float(unlabelled), math.nan, math.nan, _images(layer)),
                    **_correlations(units[name]),
                    **_p_values([row for row in self.significance if row["layer"] == name]),
                }
            )
            for name, layer in layers.items()
        }

    def __getitem__(self, name: str) -> DissectedLayer:
        """Return what was found in a layer."""
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the layers."""
        return iter(self._layers)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self._layers)

    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping per unit of every layer, as the per-unit table has them."""
        return [row for name, layer in self.items() for row in layer.rows(name)]

    def frame(self, layer: str | None = None) -> "pandas.DataFrame":
        """Return the per-unit table of a layer, or of all, as a data frame; needs pandas.

        Raises:
            KeyError: If no such layer was dissected.
            ImportError: If pandas is missing.
        """
        pandas = _pandas()
        return pandas.DataFrame(self.rows() if layer is None else self[layer].rows(layer))

    def iou_frame(self, layer: str) -> "pandas.DataFrame":
        """Return the IoU of a layer's units with every concept, by the concepts' names; needs pandas.

        Raises:
            KeyError: If no such layer was dissected.
            ImportError: If pandas is missing.
        """
        pandas = _pandas()
        names = pandas.MultiIndex.from_tuples(
            [(concept.category, concept.name) for concept in self.concepts], names=["category", "concept"]
        )
        return pandas.DataFrame(self[layer].iou.cpu().numpy(), columns=names).rename_axis(index="unit")

    def significance_frame(self) -> "pandas.DataFrame":
        """Return the p-values of every layer, N and choice of units as a data frame; needs pandas.

        Raises:
            ImportError: If pandas is missing.
        """
        return _pandas().DataFrame(self.significance)

    def save(self, folder: str | Path) -> None:
        """Write all of it into a folder: CSV tables, NetDissect's own, and every tensor.

        What the files are: :func:`~advscope.measures.dissection.dissection_files.save_dissection`.

        Args:
            folder: Where; must not exist, be empty, or hold an earlier dissection, which is replaced.

        Raises:
            FileExistsError: If the folder holds something else.
        """
        save_dissection(self, folder)


def _pandas() -> Any:
    """Return pandas, which only notebooks need.

    Raises:
        ImportError: If it is missing; the message says how to install it.
    """
    try:
        import pandas
    except ImportError:
        raise ImportError("data frames need pandas: install it with `pip install 'pandas>=2.2'`") from None
    return pandas


def _units(layer: DissectedLayer) -> LayerUnits:
    regular = torch.tensor([kind == "regular" for kind in layer.kinds])
    images = layer.sensitivity_estimates[0].n
    return LayerUnits(layer.interpretability.cpu(), layer.sensitivity.cpu(), layer.areas.cpu(), regular, images)


def _images(layer: DissectedLayer) -> int:
    return layer.figures["units"].n


def _correlations(units: LayerUnits) -> dict[str, Estimate]:
    def of(chosen: Tensor) -> Estimate:
        return spearman_estimate(units.interpretability[chosen], units.sensitivity[chosen])

    everyone = torch.ones_like(units.regular)
    return {"rank_correlation": of(everyone), "rank_correlation_regular": of(units.regular)}


def _p_values(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Return the p-values of a layer as figures; a p has no interval, its n is the number of attacked images."""
    figures = {}
    for row in rows:
        suffix = "_regular" if row["regular"] else ""
        for name in ("p", "p_approximate", "p_corrected", "p_matched", "p_matched_corrected"):
            if not math.isnan(row[name]):
                kind = name.removeprefix("p")
                figures[f"p_top{row['top']}{kind}{suffix}"] = Estimate(row[name], math.nan, math.nan, row["images"])
    return figures
