"""The adversarial images of a dissection: the caller's own, or what an attack makes; and on whom they succeed."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.measures.dissection.settings import DissectionSettings
from advscope.processes import gathered, highest, summed

AttackCall = Callable[..., Tensor]
"""``attack(network, images, labels, indices=indices)`` returns adversarial images; with ``targets`` towards them."""

FIRST = 16
"""Number of attacked images whose places are kept, to be shown."""

FATES = ("attacked", "failed", "ineligible", "not_chosen")
"""What becomes of an image: the attack succeeds, or does not; its clean prediction is not its label; or only images of
another class are attacked."""


_SOME = "some batches carry adversarial images and others do not: give them in all, or in none"


class Adversarials(NamedTuple):
    """The adversarial images of ``n`` of the images of a batch."""

    rows: Tensor
    """Which images of the batch they are, int64 ``(n,)``."""
    images: Tensor
    """They themselves, ``(n, C, H, W)``."""
    labels: Tensor
    """The labels of the clean images, or the network's own prediction where there is none, int64 ``(n,)``."""
    eligible: Tensor
    """Whether the clean prediction is the label, bool ``(n,)``."""


class AdversarialImages:
    """Where the adversarial images of a dissection come from.

    Without a source or target class every image has one, also where the network errs: v(k) over all images is over
    these. With one, only the images that the network recognises as the source class, or as another one than the target,
    are attacked.

    Args:
        network: The frozen network.
        attack: Makes adversarial images; None where batches carry them, or there are none.
        settings: Source and target class.

    Attributes:
        given: Whether there are adversarial images, in any process after :meth:`exchange`.
        counts: Number of images by fate, int64 ``(4,)``.
        first: Places in the data set of the first attacked images.
    """

    def __init__(self, network: nn.Module, attack: AttackCall | None, settings: DissectionSettings) -> None:
        self.network, self.attack = network, attack
        self.source, self.target = settings.source, settings.target
        self.given = attack is not None
        self.carried: bool | None = None
        self.counts = torch.zeros(len(FATES), dtype=torch.int64)
        self.first: list[int] = []

    def check(self, batch: Batch) -> None:
        """Refuse a batch whose adversarial images contradict the attack, other batches, or their own shape.

        Raises:
            ValueError: If it is so.
        """
        carries = batch.adversarials is not None
        if self.carried not in (None, carries):
            raise ValueError(_SOME)
        if carries and self.attack is not None:
            raise ValueError("batches carry adversarial images and an attack is given: leave one of them out")
        if batch.adversarials is not None and batch.adversarials.shape != batch.images.shape:
            raise ValueError(
                f"adversarials must be {tuple(batch.images.shape)} as the images, got {tuple(batch.adversarials.shape)}"
            )
        self.carried = carries
        self.given = self.attack is not None or carries

    def check_classes(self, classes: int) -> None:
        """Refuse a source or target class that the network does not have.

        Raises:
            ValueError: If it is so.
        """
        for name, label in (("source", self.source), ("target", self.target)):
            if label is not None and label >= classes:
                raise ValueError(f"{name} must be one of the network's {classes} classes, from 0, got {label}")

    def exchange(self, device: torch.device) -> None:
        """Learn from other processes whether there are adversarial images; a process may have no images itself.

        Raises:
            ValueError: If the batches of one process carry some, and those of another do not.
        """
        own = [self.given, self.carried is True, self.carried is False]
        given, carried, bare = highest(torch.tensor(own, dtype=torch.int64, device=device)).tolist()
        if carried and bare:
            raise ValueError(_SOME)
        self.given = bool(given)

    def of(self, batch: Batch, images: Tensor, prediction: Tensor) -> Adversarials:
        """Return the adversarial images of a batch.

        Args:
            batch: The batch.
            images: Its clean images, beside the network.
            prediction: The network's prediction of them, ``(N,)``.
        """
        device = images.device
        labels = batch.labels.to(device)
        labels = labels.where(labels >= 0, prediction)
        eligible = prediction == labels
        chosen = torch.ones_like(eligible)
        if self.source is not None or self.target is not None:
            of_source = torch.ones_like(eligible) if self.source is None else labels == self.source
            chosen = eligible & of_source & (labels != (-1 if self.target is None else self.target))
            self._add("ineligible", ~eligible)
            self._add("not_chosen", eligible & ~chosen)
        rows = chosen.nonzero().flatten()
        if batch.adversarials is not None:
            made = batch.adversarials.to(device)[rows]
        elif len(rows):
            assert self.attack is not None  # check has seen to it
            towards = {} if self.target is None else {"targets": torch.full_like(labels[rows], self.target)}
            made = self.attack(
                self.network, images[rows], labels[rows], indices=batch.indices.to(device)[rows], **towards
            )
        else:
            made = images[rows]
        return Adversarials(rows, made, labels[rows], eligible[rows])

    def succeeded(self, adversarials: Adversarials, prediction: Tensor, indices: Tensor) -> Tensor:
        """Return on which images the attack succeeded, bool ``(n,)``; and count what became of all.

        Args:
            adversarials: The adversarial images.
            prediction: The network's prediction of them, ``(n,)``.
            indices: Their places in the data set, ``(n,)``.
        """
        reached = prediction != adversarials.labels if self.target is None else prediction == self.target
        attacked = adversarials.eligible & reached
        self.first = sorted({*self.first, *indices[attacked].tolist()})[:FIRST]
        self._add("attacked", attacked)
        self._add("failed", adversarials.eligible & ~reached)
        self._add("ineligible", ~adversarials.eligible)
        return attacked

    def fates(self, device: torch.device) -> dict[str, int]:
        """Return the number of images of all processes by fate; none where there are no adversarial images."""
        return dict(zip(FATES, summed(self.counts.to(device)).tolist(), strict=True))

    def firsts(self) -> tuple[int, ...]:
        """Return the places of the first attacked images of all processes."""
        return tuple(sorted({place for part in gathered(self.first) for place in part})[:FIRST])

    def _add(self, fate: str, images: Tensor) -> None:
        self.counts[FATES.index(fate)] += int(images.sum())
