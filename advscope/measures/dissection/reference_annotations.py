"""A sample of images' annotations, against which masks are held that have nothing to do with them."""

from bisect import bisect_left, insort
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from advscope.counter_hash import hash32
from advscope.processes import gathered

_SAMPLING = 0x73616D70
"""Sets the hash that decides who is in the sample apart from other uses of the index."""

_PAIRING = 0x70616972
"""Sets the hash that decides who is held against whom apart from that."""


class Annotations(NamedTuple):
    """The annotations of ``N`` images, as a :class:`~advscope.batch.Batch` has them."""

    concepts: Tensor
    """Label numbers of the pixels, integers ``(N, L, h, w)``, 0 = unlabelled."""
    image_concepts: Tensor
    """Label numbers of the whole images, integers ``(N, M)``, padded with 0; M may be 0."""


class _Candidate(NamedTuple):
    """An image that may be in the sample; candidates are in the order of (key, image)."""

    key: int
    image: int
    concepts: Tensor
    image_concepts: Tensor

    @property
    def rank(self) -> tuple[int, int]:
        return self.key, self.image


class ReferenceAnnotations:
    """A random sample of images' annotations, from which every image gets another one's.

    How many units detect a concept by chance: masks are counted against the annotations of other images, as they are
    against those of their own. What a mask and a foreign annotation share comes from how often either covers a pixel,
    not from the image.

    The sample holds the images whose index has the smallest hashes: it is the same in whatever order, batches and
    processes the images come, and takes as much memory as its size, however many they are. Concepts that none of its
    images bears do not occur among the partners. Usage: :meth:`add` for every batch, :meth:`exchange` once, then
    :meth:`partner`.

    Args:
        size: Images in the sample, at least 2; all, where there are fewer.

    Raises:
        ValueError: If ``size`` is less than 2.
    """

    def __init__(self, size: int = 256) -> None:
        if size < 2:
            raise ValueError(f"size must be at least 2, for an image's partner is another one, got {size}")
        self.size = size
        self._candidates: list[_Candidate] = []
        self._sample: Annotations | None = None
        self._indices = torch.zeros(0, dtype=torch.int64)
        self._exchanged = False

    def add(self, indices: Tensor, concepts: Tensor, image_concepts: Tensor | None = None) -> None:
        """Offer the annotations of a batch to the sample; an image that comes again counts once.

        Args:
            indices: Place of each image in its data set, int64 ``(N,)``.
            concepts: Label numbers of the pixels, integers ``(N, L, h, w)``; one ``(h, w)`` for all images.
            image_concepts: Label numbers of the whole images, integers ``(N, M)``, or None. M and L may differ between
                batches.

        Raises:
            ValueError: If a shape is wrong, or the sample has been exchanged.
        """
        if self._exchanged:
            raise ValueError("the sample has been exchanged and takes no further images: add every batch before that")
        wrong = image_concepts is not None and (image_concepts.ndim != 2 or len(image_concepts) != len(indices))
        if concepts.ndim != 4 or len(concepts) != len(indices) or wrong:
            second = None if image_concepts is None else tuple(image_concepts.shape)
            raise ValueError(
                f"concepts must be ({len(indices)}, L, h, w) and image_concepts ({len(indices)}, M) or None, "
                f"got {tuple(concepts.shape)} and {second}"
            )
        for place, (key, index) in enumerate(zip(hash32(_SAMPLING, indices).tolist(), indices.tolist(), strict=True)):
            if self._enters((key, index)):
                whole = concepts.new_zeros(0) if image_concepts is None else image_concepts[place]
                # Copies: a view would keep its whole batch in memory.
                held = (labels.detach().to("cpu", copy=True) for labels in (concepts[place], whole))
                insort(self._candidates, _Candidate(key, index, *held), key=lambda each: each.rank)
                del self._candidates[self.size :]

    def _enters(self, rank: tuple[int, int]) -> bool:
        """Return whether an image belongs to the sample as far as it is known, and is not yet in it."""
        place = bisect_left(self._candidates, rank, key=lambda each: each.rank)
        return place < self.size and (place == len(self._candidates) or self._candidates[place].rank != rank)

    def exchange(self) -> None:
        """Make one sample of those of all processes; once, after the last batch, in every process.

        Raises:
            ValueError: If the annotations are not of one size ``(h, w)``.
        """
        ranks = gathered([each.rank for each in self._candidates])
        kept = set(sorted(set().union(*ranks))[: self.size])
        # Keys are handed round first, then the annotations of the sample alone.
        everyones = gathered([each for each in self._candidates if each.rank in kept])
        by_rank = {each.rank: each for candidates in everyones for each in candidates}
        sample = [by_rank[rank] for rank in sorted(by_rank)]
        sizes = sorted({tuple(each.concepts.shape[1:]) for each in sample})
        if len(sizes) > 1:
            raise ValueError(f"annotations must be of one size, got {sizes[0]} and {sizes[1]}: scale them alike")
        self._candidates, self._exchanged = [], True
        if len(sample) > 1:
            self._indices = torch.tensor([each.image for each in sample])
            self._sample = Annotations(
                _padded([each.concepts for each in sample]), _padded([each.image_concepts for each in sample])
            )

    def partner(self, indices: Tensor) -> Annotations | None:
        """Return for each image the annotations of another one in the sample, as a function of index and sample alone.

        An image of the sample gets those of the next one, in the random order of the sample's hashes: where the sample
        holds all images, each one's annotations come exactly once, so that no concept is more or less frequent than it
        is. Any other image gets the one that a hash of its index says.

        Args:
            indices: Place of each image in its data set, int64 ``(N,)``.

        Returns:
            Annotations where ``indices`` are; None where the sample holds fewer than 2 images, so that there is no
            other.

        Raises:
            ValueError: If the sample has not been exchanged.
        """
        if not self._exchanged:
            raise ValueError("the sample is not complete: call exchange() after the last batch, then ask for partners")
        if self._sample is None:
            return None
        wanted = indices.cpu()
        itself = wanted[:, None] == self._indices
        following = (itself.int().argmax(1) + 1) % len(self._indices)
        places = torch.where(itself.any(1), following, hash32(_PAIRING, wanted) % len(self._indices))
        return Annotations(*(labels[places].to(indices.device) for labels in self._sample))


def _padded(labels: list[Tensor]) -> Tensor:
    """Return tensors that differ in their first dimension as one, those shorter padded with 0."""
    longest = max(len(each) for each in labels)
    dtype = reduce(torch.promote_types, (each.dtype for each in labels))
    padded = torch.zeros(len(labels), longest, *labels[0].shape[1:], dtype=dtype)
    for place, each in enumerate(labels):
        padded[place, : len(each)] = each
    return padded
