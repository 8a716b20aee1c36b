"""Counts of pixels on which units and concepts meet: what IoU is made of."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advscope.concepts import Concept
from advscope.counter_hash import hash32
from advscope.precision import full_precision
from advscope.processes import summed

GROUPS = 10
"""Number of groups of images, which the jackknife leaves out one at a time."""

_GROUPING = 0x6A61636B
"""Sets the hash of the groups apart from other uses of the index."""

_EXACT = 1 << 24
"""Up to here sums of ones are exact in float32."""


def group_of(indices: Tensor) -> Tensor:
    """Return the group of each image, int64 in [0, 10), as a function of its place in the data set alone.

    A hash of the index, not its last digit: data sets are laid out in regular orders (the class of ConceptShapes is the
    index modulo 10), and a group must be a sample of all images, not one kind of them.

    Args:
        indices: Place of each image in its data set, int64 ``(N,)``.
    """
    return hash32(_GROUPING, indices) % GROUPS


class ImageConcepts(NamedTuple):
    """The concepts of one image, as sets of its ``P`` pixels."""

    columns: Tensor
    """Places of the concepts in their table, int64 ``(c,)``: first those on some pixels, then those of the image."""
    pixels: Tensor
    """Which pixels the first of them are on, float32 0 or 1, ``(p, P)`` with p <= c."""


class ConceptTable:
    """The concepts that images can bear, by number.

    Args:
        concepts: Every label.
        device: Where the images' labels are.

    Raises:
        ValueError: If there is none, or a number comes twice or is not positive.
    """

    def __init__(self, concepts: Sequence[Concept], device: torch.device | str = "cpu") -> None:
        numbers = [concept.number for concept in concepts]
        if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
            raise ValueError(
                "concepts must be one or more labels with different numbers from 1; check the data's table"
            )
        self.concepts = tuple(concepts)
        self.categories = tuple(dict.fromkeys(concept.category for concept in concepts))
        self.columns = torch.full((max(numbers) + 1,), -1, dtype=torch.int64, device=device)
        self.columns[torch.tensor(numbers, device=device)] = torch.arange(len(numbers), device=device)
        places = [self.categories.index(concept.category) for concept in concepts]
        self.category_of = torch.tensor(places, device=device)

    def check(self, concepts: Tensor, image_concepts: Tensor | None) -> None:
        """Check the labels of a batch, so that a wrong one is named before anything is counted.

        Args:
            concepts: Label numbers of the pixels, integers ``(N, L, h, w)``.
            image_concepts: Label numbers of the whole images, integers ``(N, M)``, or None.

        Raises:
            ValueError: If a number is not in the table, or a shape or type is wrong.
        """
        for name, labels, dimensions in (("concepts", concepts, 4), ("image_concepts", image_concepts, 2)):
            if labels is None:
                continue
            if labels.ndim != dimensions or labels.is_floating_point() or len(labels) != len(concepts):
                wanted = "(N, L, h, w)" if dimensions == 4 else f"({len(concepts)}, M)"
                raise ValueError(f"{name} must be integers {wanted}, got {labels.dtype} {tuple(labels.shape)}")
            self._checked(labels.unique())

    def of_images(self, concepts: Tensor, image_concepts: Tensor | None) -> list[ImageConcepts]:
        """Return the concepts of each image of a batch.

        A label that stands in two layers at one pixel is there once; one of the whole image is on all of its pixels.

        Args:
            concepts: Label numbers of the pixels, integers ``(N, L, h, w)``, 0 = unlabelled.
            image_concepts: Label numbers of the whole images, integers ``(N, M)``, padded with 0, or None.

        Raises:
            ValueError: If a number is not in the table.
        """
        return [
            self._of_image(layers.flatten(1), None if image_concepts is None else image_concepts[place])
            for place, layers in enumerate(concepts)
        ]

    def _of_image(self, layers: Tensor, whole: Tensor | None) -> ImageConcepts:
        """Return the concepts of one image, whose layers are ``(L, P)``."""
        on_all = self._checked(layers.new_zeros(0) if whole is None else whole.unique())
        numbers, places = layers.unique(return_inverse=True)
        sets = torch.zeros(len(numbers), layers.shape[1], device=layers.device)
        for layer in places:
            sets[layer, torch.arange(len(layer), device=layer.device)] = 1
        labelled = numbers != 0
        columns, sets = self._checked(numbers), sets[labelled]
        partly = ~torch.isin(columns, on_all)
        return ImageConcepts(torch.cat([columns[partly], on_all]), sets[partly])

    def _checked(self, numbers: Tensor) -> Tensor:
        """Return the columns of sorted label numbers, without that of 0."""
        numbers = numbers[numbers != 0].long()
        known = (numbers > 0) & (numbers < len(self.columns))
        columns = self.columns[numbers.where(known, 0)]
        if (columns < 0).any():
            wrong = int(numbers[columns < 0][0])
            raise ValueError(
                f"an image bears label {wrong}, which is not among the {len(self.concepts)} concepts given"
            )
        return columns


class ConceptTally:
    """Counts, for each unit and concept, of the pixels on which both are, over images that need not fit into memory.

    All counts are int64 and kept apart for :data:`GROUPS` groups of images, so that they add up exactly over batches
    and processes, and intervals follow.

    Args:
        units: K.
        table: The concepts.

    Attributes:
        intersections: Pixels of unit k and concept c, ``(10, K, C)``.
        unit_areas: Pixels of unit k, ``(10, K)``.
        category_areas: Pixels of unit k in the images with any label of a category, ``(10, K, categories)``.
        concept_areas: Pixels of concept c, ``(10, C)``.
        images: Number of images, ``(10,)``.
    """

    def __init__(self, units: int, table: ConceptTable) -> None:
        def zeros(*size: int) -> Tensor:
            return torch.zeros(GROUPS, *size, dtype=torch.int64, device=table.columns.device)

        self.table = table
        self.intersections = zeros(units, len(table.concepts))
        self.unit_areas = zeros(units)
        self.category_areas = zeros(units, len(table.categories))
        self.concept_areas = zeros(len(table.concepts))
        self.images = zeros()

    def count(self, masks: Tensor, concepts: Sequence[ImageConcepts], indices: Tensor) -> None:
        """Count a batch.

        Args:
            masks: Where units are active, bool ``(N, K, h, w)``.
            concepts: Of each image, as :meth:`ConceptTable.of_images` returns them, at the size of the masks.
            indices: Place of each image in its data set, int64 ``(N,)``.

        Raises:
            ValueError: If an image has so many pixels that float32 cannot count them.
        """
        pixels = masks.shape[-2] * masks.shape[-1]
        if pixels >= _EXACT:
            raise ValueError(f"annotations must have fewer than {_EXACT} pixels, got {pixels}: scale them down")
        flat = masks.flatten(2).float()
        areas = flat.sum(2).long()
        for place, (group, image) in enumerate(zip(group_of(indices).tolist(), concepts, strict=True)):
            self.images[group] += 1
            self.unit_areas[group] += areas[place]
            if not len(image.columns):
                continue
            # Products of zeros and ones: sums that are exact in float32, in any order; autocast would round them.
            with full_precision(masks.device.type):
                met = (flat[place] @ image.pixels.T).long()
            whole = len(image.columns) - len(image.pixels)
            met = torch.cat([met, areas[place][:, None].expand(-1, whole)], dim=1)
            sizes = torch.cat([image.pixels.sum(1).long(), met.new_full((whole,), pixels)])
            self.intersections[group].index_add_(1, image.columns, met)
            self.concept_areas[group].index_add_(0, image.columns, sizes)
            self.category_areas[group][:, self.table.category_of[image.columns].unique()] += areas[place][:, None]

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
        kept = [group for group in range(GROUPS) if group != without]
        met, concept_areas = self.intersections[kept].sum(0), self.concept_areas[kept].sum(0)
        if union == "all":
            areas = self.unit_areas[kept].sum(0)[:, None]
        else:
            areas = self.category_areas[kept].sum(0)[:, self.table.category_of]
        return met.double() / (areas + concept_areas - met)
