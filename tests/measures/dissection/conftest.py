"""What several tests of dissection count with."""

from collections.abc import Callable

import pytest
from torch import Tensor

from advscope.measures import ConceptTable, ConceptTally, MaskCounts
from advscope.measures.dissection.image_groups import group_of


@pytest.fixture
def count() -> Callable[..., ConceptTally]:
    """Return a function that tallies masks which are there whole, image by image."""

    def counted(
        table: ConceptTable, masks: Tensor, concepts: Tensor, whole: Tensor | None, indices: Tensor,
        tally: ConceptTally | None = None,
    ) -> ConceptTally:  # fmt: skip
        tally = tally or ConceptTally(masks.shape[1], table)
        images = table.of_images(concepts, whole)
        for mask, image, group in zip(masks.flatten(2).float(), images, group_of(indices).tolist(), strict=True):
            tally.count(MaskCounts(mask.sum(1), mask @ image.pixels.flatten(1).T), image, group)
        return tally

    return counted
