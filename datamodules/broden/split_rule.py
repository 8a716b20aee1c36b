"""Broden's rule that splits images into those to choose thresholds on and those to validate on."""

import hashlib

_TRAIN_SHARE = 0.7


def split_of(image: str) -> str:
    """Return the split that Broden puts an image in: by a hash of its path under ``images``, 70% into train.

    Example:
        >>> split_of("ade20k/ADE_train_00003891.jpg"), split_of("concept_shapes/20000000.png")
        ('train', 'val')
    """
    start = hashlib.md5(image.encode(), usedforsecurity=False).digest()[:8]
    return "train" if int.from_bytes(start) / 2**64 < _TRAIN_SHARE else "val"
