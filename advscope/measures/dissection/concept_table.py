"""The concepts that images can bear, and those that an image bears."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from advscope.batch import Batch
from advscope.concepts import Concept


class ImageConcepts(NamedTuple):
    """The concepts of one image, as sets of its pixels."""

    columns: Tensor
    """Places of the concepts in their table, int64 ``(c,)``: first those on some pixels, then those of the image."""
    pixels: Tensor
    """Which pixels the first of them are on, float32 0 or 1, ``(p, h, w)`` with p <= c."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def sampled(self, size: tuple[int, int]) -> "ImageConcepts":
        """Return the concepts at another resolution: a pixel has the labels of the one on which its centre lies."""
        if size == self.size:
            return self
        rows, columns = (
            ((torch.arange(target, device=self.pixels.device) * 2 + 1) * source) // (2 * target)
            for source, target in zip(self.size, size, strict=True)
        )
        return self._replace(pixels=self.pixels[:, rows][:, :, columns])


def labels_of(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return the labels of a batch's pixels and of its whole images, on a device."""
    assert batch.concepts is not None  # the first pass has seen to it
    whole = batch.image_concepts
    return batch.concepts.to(device), None if whole is None else whole.to(device)


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
        self.columns = torch.full((max(numbers) + 1,), -1, device=device)
        self.columns[torch.tensor(numbers, device=device)] = torch.arange(len(numbers), device=device)
        self.categories = tuple(dict.fromkeys(concept.category for concept in concepts))
        places = [self.categories.index(concept.category) for concept in concepts]
        self.category_of = torch.tensor(places, device=device)

    def check(self, concepts: Tensor, image_concepts: Tensor | None) -> int:
        """Check the labels of a batch, so that a wrong one is named before anything is counted.

        Args:
            concepts: Label numbers of the pixels, integers ``(N, L, h, w)``.
            image_concepts: Label numbers of the whole images, integers ``(N, M)``, or None.

        Returns:
            Number of images without any label.

        Raises:
            ValueError: If a number is not in the table, or a shape or type is wrong.
        """
        bare = torch.ones(len(concepts), dtype=torch.bool, device=concepts.device)
        for name, labels, dimensions in (("concepts", concepts, 4), ("image_concepts", image_concepts, 2)):
            if labels is None:
                continue
            if labels.ndim != dimensions or labels.is_floating_point() or len(labels) != len(concepts):
                wanted = "(N, L, h, w)" if dimensions == 4 else f"({len(concepts)}, M)"
                raise ValueError(f"{name} must be integers {wanted}, got {labels.dtype} {tuple(labels.shape)}")
            self._checked(_present(labels))
            bare &= ~labels.flatten(1).any(1)
        return int(bare.sum())

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
            self._of_image(layers, None if image_concepts is None else image_concepts[place])
            for place, layers in enumerate(concepts)
        ]

    def _of_image(self, layers: Tensor, whole: Tensor | None) -> ImageConcepts:
        """Return the concepts of one image, whose layers are ``(L, h, w)``."""
        on_all = self._checked(layers.new_zeros(0) if whole is None else whole.unique())
        numbers = _present(layers)
        columns = self._checked(numbers)
        partly = ~torch.isin(columns, on_all)
        numbers, columns = numbers[numbers != 0][partly], columns[partly]
        # The row of each label; those that are no row's, and the unlabelled, go to a last one that is dropped.
        rows = torch.full((len(self.columns),), len(numbers), device=layers.device)
        rows[numbers] = torch.arange(len(numbers), device=layers.device)
        sets = torch.zeros(len(numbers) + 1, layers[0].numel() if len(layers) else 0, device=layers.device)
        if len(layers):
            sets.scatter_(0, rows.index_select(0, layers.flatten().long()).view(len(layers), -1), 1)
        shape = layers.shape[-2:]
        pixels = sets[:-1].view(-1, *shape) if len(layers) else sets.new_zeros(0, *shape)
        return ImageConcepts(torch.cat([columns, on_all]), pixels)

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


def _present(labels: Tensor) -> Tensor:
    """Return the label numbers that occur, ascending, int64; counted, since sorting takes many times as long."""
    if not labels.numel():
        return labels.new_zeros(0).long()
    flat = labels.flatten().long()
    lowest = int(flat.min())
    return torch.bincount(flat - lowest).nonzero().flatten() + lowest
