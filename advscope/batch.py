"""What flows through advscope: a batch of images, and the same batch after an attack."""

from typing import Any, NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """What a datamodule yields: ``N`` images with their labels and their places in the data set."""

    images: Tensor
    """Float in [0, 1], ``(N, C, H, W)``."""
    labels: Tensor
    """Classes, int64 ``(N,)``; -1 where an image has no class."""
    indices: Tensor
    """Place of each image in its data set, int64 ``(N,)``: the key of records, randomness and de-duplication."""
    concepts: Tensor | None = None
    """Pixel-level label numbers, int16 ``(N, L, h, w)``, 0 = unlabelled; one layer per category and channel."""
    image_concepts: Tensor | None = None
    """Labels of the whole image, int16 ``(N, M)``, padded with 0."""
    adversarials: Tensor | None = None
    """Adversarial images that the caller has made already, as ``images``; for what takes them in place of an attack."""

    def part(self, rows: Tensor | slice) -> "Batch":
        """Return some images of the batch, with all that belongs to them."""
        fields: list[Any] = [None if field is None else field[rows] for field in self]
        return Batch(*fields)


class AttackedBatch(NamedTuple):
    """A batch before and after one attack, and who counts; ``N`` images of shape ``(C, H, W)`` and ``K`` classes."""

    images: Tensor
    """Clean images in [0, 1], ``(N, C, H, W)``."""
    adversarials: Tensor
    """Adversarial images in [0, 1], ``(N, C, H, W)``."""
    indices: Tensor
    """Place of each image in its data set, int64 ``(N,)``."""
    labels: Tensor
    """True classes, int64 ``(N,)``; the network's own prediction where an image has no class."""
    targets: Tensor
    """Target classes, int64 ``(N,)``; for an untargeted attack, the label given to the adversarial image."""
    logits: Tensor
    """Logits of the clean images, ``(N, K)``."""
    adversarial_logits: Tensor
    """Logits of the adversarial images, ``(N, K)``."""
    eligible: Tensor
    """Whether the clean prediction is the label, bool ``(N,)``."""
    attacked: Tensor
    """Whether the image is eligible and the attack succeeded on it, bool ``(N,)``: the returned image is predicted as
    wished and, where the attack has a confidence, by a margin that reaches it to 1e-4."""
