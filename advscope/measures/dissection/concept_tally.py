"""Counts of pixels on which units and concepts meet: what IoU is made of."""

from collections.abc import Iterator

import torch
from torch import Tensor

from advscope.measures.dissection.concept_table import ConceptTable, ImageConcepts
from advscope.measures.dissection.image_groups import GROUPS
from advscope.measures.dissection.mask_counts import MaskCounts
from advscope.processes import summed

_MOST = (1 << 31) - 1


class ConceptTally:
    """Counts, for each unit and concept, of the pixels on which both are, over images that need not fit into memory.

    All counts are whole numbers and kept apart for groups of images (:func:`group_of`), so that they add up exactly
    over batches and processes, and intervals follow.

    Args:
        units: K.
        table: The concepts.
        pixels: Pixels of all images together, of all processes: where int32 holds them, counts take half the memory.

    Attributes:
        unit_areas: Pixels of unit k, ``(10, K)``.
        category_areas: Pixels of unit k in the images with any label of a category, ``(10, K, categories)``.
        concept_areas: Pixels of concept c, ``(10, C)``.
        images: Number of images, ``(10,)``.
    """

    def __init__(self, units: int, table: ConceptTable, pixels: int = _MOST + 1) -> None:
        kind = torch.int32 if pixels <= _MOST else torch.int64

        def zeros(*size: int) -> Tensor:
            return torch.zeros(GROUPS, *size, dtype=kind, device=table.columns.device)

        self.table = table
        # Concept by concept: what an image adds lies together.
        self._met = zeros(len(table.concepts), units)
        self.unit_areas = zeros(units)
        self.category_areas = zeros(units, len(table.categories))
        self.concept_areas = zeros(len(table.concepts))
        self.images = zeros()

    @property
    def intersections(self) -> Tensor:
        """Pixels of unit k and concept c, ``(10, K, C)``."""
        return self._met.transpose(1, 2)

    def count(self, masks: MaskCounts, concepts: ImageConcepts, group: int) -> None:
        """Count an image.

        Args:
            masks: Pixels of the units, and those that they share with each set of pixels of ``concepts``.
            concepts: Those of the image.
            group: Its group.
        """
        kind = self.images.dtype
        areas = masks.areas.to(kind)
        self.images[group] += 1
        self.unit_areas[group] += areas
        if not len(concepts.columns):
            return
        height, width = concepts.size
        whole = len(concepts.columns) - len(concepts.pixels)
        met = torch.cat([masks.met.to(kind), areas[:, None].expand(-1, whole)], dim=1)
        sizes = torch.cat([concepts.pixels.sum((1, 2)).to(kind), met.new_full((whole,), height * width)])
        self._met[group].index_add_(0, concepts.columns, met.T)
        self.concept_areas[group].index_add_(0, concepts.columns, sizes)
        self.category_areas[group][:, self.table.category_of[concepts.columns].unique()] += areas[:, None]

    def add_up(self) -> None:
        """Add up the counts of all processes; once, after the last batch."""
        for name in ("_met", "unit_areas", "category_areas", "concept_areas", "images"):
            setattr(self, name, summed(getattr(self, name)))

    def iou(self, union: str = "all") -> Tensor:
        r"""Return the IoU of every unit with every concept, float64 ``(K, C)``, ``nan`` where the union is empty.

        .. math:: \mathrm{IoU}(k, c) = \frac{\sum_x |M_k(x) \cap L_c(x)|}{\sum_x |M_k(x) \cup L_c(x)|}

        Args:
            union: ``"all"``: over all images (Xu et al. 2019, eq. 7); ``"category"``: M_k counts only in images with a
                label of the concept's category (NetDissect).

        Raises:
            ValueError: If ``union`` is neither.
        """
        met, areas, concept_areas = self._counts(union, slice(None))
        return _ratio(met.sum(0), areas.sum(0), concept_areas.sum(0))

    def iou_without(self, union: str, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the number of each group that holds images, and the IoU over the images of all other groups.

        Args:
            union: As for :meth:`iou`.
            columns: Concepts to take, by their places in the table, int64 ``(c,)``.

        Raises:
            ValueError: If ``union`` is not allowed.
        """
        counts = self._counts(union, columns)
        # Added up once: the sums of nine groups are those of all less one.
        totals = [each.sum(0) for each in counts]
        for group in self.images.nonzero().flatten().tolist():
            yield group, _ratio(*(total - each[group] for total, each in zip(totals, counts, strict=True)))

    def _counts(self, union: str, columns: Tensor | slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return pixels of both, of units and of concepts, by group, concept and unit."""
        if union not in ("all", "category"):
            raise ValueError(f'union must be "all" or "category", got {union!r}')
        if union == "all":
            areas = self.unit_areas[:, None]
        else:
            areas = self.category_areas.transpose(1, 2)[:, self.table.category_of[columns]]
        return self._met[:, columns], areas, self.concept_areas[:, columns, None]


def _ratio(met: Tensor, areas: Tensor, concept_areas: Tensor) -> Tensor:
    """Return the IoU of units and concepts, of counts of concepts and units."""
    return (met.double() / (areas + concept_areas - met)).T
