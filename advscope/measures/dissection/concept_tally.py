"""Counts of pixels on which units and concepts meet: what IoU is made of."""

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
        intersections: Pixels of unit k and concept c, ``(10, K, C)``.
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
        self.intersections = zeros(units, len(table.concepts))
        self.unit_areas = zeros(units)
        self.category_areas = zeros(units, len(table.categories))
        self.concept_areas = zeros(len(table.concepts))
        self.images = zeros()

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
        self.intersections[group].index_add_(1, concepts.columns, met)
        self.concept_areas[group].index_add_(0, concepts.columns, sizes)
        self.category_areas[group][:, self.table.category_of[concepts.columns].unique()] += areas[:, None]

    def add_up(self) -> None:
        """Add up the counts of all processes; once, after the last batch."""
        for name in ("intersections", "unit_areas", "category_areas", "concept_areas", "images"):
            setattr(self, name, summed(getattr(self, name)))

    def iou(self, union: str = "all", without: int | None = None) -> Tensor:
        r"""Return the IoU of every unit with every concept, float64 ``(K, C)``, ``nan`` where the union is empty.

        .. math:: \mathrm{IoU}(k, c) = \frac{\sum_x |M_k(x) \cap L_c(x)|}{\sum_x |M_k(x) \cup L_c(x)|}

        Args:
            union: ``"all"``: over all images (Xu et al. 2019, eq. 7); ``"category"``: M_k counts only in images with a
                label of the concept's category (NetDissect).
            without: Number of a group of images to leave out.

        Raises:
            ValueError: If ``union`` is neither.
        """
        if union not in ("all", "category"):
            raise ValueError(f'union must be "all" or "category", got {union!r}')
        met, concept_areas = self._total(self.intersections, without), self._total(self.concept_areas, without)
        if union == "all":
            areas = self._total(self.unit_areas, without)[:, None]
        else:
            areas = self._total(self.category_areas, without)[:, self.table.category_of]
        return met.double() / (areas + concept_areas - met)

    @staticmethod
    def _total(counts: Tensor, without: int | None) -> Tensor:
        """Return the sum over the groups, int64, without one of them."""
        total = counts.sum(0)
        return total if without is None else total - counts[without]
