"""The concept images of a dissection monitor."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from tqdm import tqdm

from advscope.batch import Batch
from advscope.concepts import Concept

PASSES = ("thresholds, first pass", "thresholds, second pass", "tally")
"""What a dissection iterates for."""


class ConceptImages:
    """The concept images of a datamodule's test split, at a network's size, as often as they are iterated over.

    Each iteration shows its progress.

    Args:
        data: Datamodule whose test split carries concepts.
        image_size: Height and width of the images that the network is given.
        same_classes: Whether the classes of the data are the network's; else images have none.
        max_images: Take the first so many images alone; None for all.
        progress: Whether to show how far an iteration has come.
    """

    def __init__(
        self,
        data: Any,
        image_size: tuple[int, int],
        *,
        same_classes: bool = True,
        max_images: int | None = None,
        progress: bool = False,
    ) -> None:
        self.data, self.image_size, self.same_classes = data, image_size, same_classes
        self.wanted = data.split_indices("test")[:max_images]
        self.progress = progress
        self.passes = 0

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Every label that the images can bear."""
        return tuple(self.data.concepts)

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's share, batch by batch."""
        name = PASSES[self.passes % len(PASSES)]
        self.passes += 1
        share = -(-len(self.wanted) // self.data.world_size)
        with tqdm(total=share, desc=f"Dissecting ({name})", unit="image", disable=not self.progress) as bar:
            for whole in self.data.loader("test", training=False):
                chosen = torch.isin(whole.indices, self.wanted)
                if not chosen.any():  # the images come in the split's order: none of those that follow is wanted
                    return
                yield self._prepared(whole.part(chosen))
                bar.update(int(chosen.sum()))

    def at(self, indices: Sequence[int]) -> Batch:
        """Return the images at some places in the data set, in this order; without reading any other."""
        everywhere = self.data.split_indices("test")
        places = torch.tensor([int((everywhere == index).nonzero()[0]) for index in indices])
        (batch,) = self.data.loader("test", training=False).fetch((places,), 0)
        return self._prepared(batch)

    def _prepared(self, batch: Batch) -> Batch:
        """Return a batch as the network is given it."""
        images: Tensor = batch.images.float()
        if images.shape[-2:] != self.image_size:
            images = interpolate(images, self.image_size, mode="bilinear", antialias=True).clamp(0, 1)
        labels = batch.labels if self.same_classes else torch.full_like(batch.labels, -1)
        return batch._replace(images=images, labels=labels)
