"""Random changes of training images, as functions of (seed, epoch, index)."""

from abc import ABC, abstractmethod

import torch
from jsonargparse.typing import lazy_instance
from torch import Tensor

from advscope.counter_hash import hash32

# What a random number is for; the attacks and the shuffling hash other counters.
_ROW, _COLUMN, _FLIP = 0xA001, 0xA002, 0xA003


class Augmentation(ABC):
    """Changes a batch of training images, and their pixel-level labels with them.

    An augmentation is a value: settings only. What it does to an image depends on (seed, epoch, index), never on the
    batch, the order, the process or the global random state.
    """

    @abstractmethod
    def __call__(
        self, images: Tensor, indices: Tensor, *, seed: int, epoch: int, concepts: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the changed images and concepts.

        Args:
            images: uint8 ``(N, C, H, W)``.
            indices: Place of each image in its data set, int64 ``(N,)``.
            seed: Seed of the run.
            epoch: Epoch, from 0.
            concepts: Pixel-level labels, int16 ``(N, L, h, w)``; None where there are none.

        Returns:
            Images and concepts of the same shapes and types.
        """


class CropFlip(Augmentation):
    """Pads images with black, crops them at random to their own size, and mirrors every other one.

    Labels move with the pixels; what comes from outside the image is unlabelled (0). A label map of another resolution
    than the image takes, for each of its pixels, the label at the image pixel under its centre.

    Args:
        padding: Pixels added on each side, at least 0; the crop moves by at most so many in each direction.
        flip: Mirror left and right with probability one half.

    Raises:
        ValueError: If ``padding`` is negative.
    """

    def __init__(self, padding: int = 4, flip: bool = True) -> None:
        if padding < 0:
            raise ValueError(f"padding must not be negative, got {padding}")
        self.padding = padding
        self.flip = flip

    def __call__(
        self, images: Tensor, indices: Tensor, *, seed: int, epoch: int, concepts: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the changed images and concepts; see :meth:`Augmentation.__call__`."""
        height, width = images.shape[2:]
        # Remainders of 32 bits are uneven by less than one part in 10^7 for any padding that makes sense.
        positions = 2 * self.padding + 1
        rows = hash32(seed, epoch, indices, _ROW) % positions - self.padding
        columns = hash32(seed, epoch, indices, _COLUMN) % positions - self.padding
        flips = hash32(seed, epoch, indices, _FLIP) >> 31 if self.flip else torch.zeros_like(indices)

        images = _take(images, (height, width), rows, columns, flips)
        if concepts is not None:
            concepts = _take(concepts, (height, width), rows, columns, flips)
        return images, concepts


CROP_FLIP: Augmentation = lazy_instance(CropFlip, padding=4, flip=True)
"""A :class:`CropFlip` as the default of a signature: a config can be written from it, as from no other instance."""


def ready(augmentation: Augmentation | None) -> Augmentation | None:
    """Return an augmentation that can be called: itself, or a real one for :data:`CROP_FLIP`."""
    return CropFlip(padding=4, flip=True) if augmentation is CROP_FLIP else augmentation


def _take(maps: Tensor, size: tuple[int, int], rows: Tensor, columns: Tensor, flips: Tensor) -> Tensor:
    """Return maps moved by (rows, columns) image pixels and mirrored where ``flips``, in channels_last order.

    ``size`` is that of the images; ``maps`` ``(N, C, h, w)`` may have another one.
    """
    count, channels, height, width = maps.shape
    source_rows, row_inside = _sources(height, size[0], rows, torch.zeros_like(flips))
    source_columns, column_inside = _sources(width, size[1], columns, flips)

    first = torch.arange(count, device=maps.device)[:, None, None] * (height * width)
    places = first + source_rows[:, :, None] * width + source_columns[:, None, :]
    # Rows of channels: one gather moves all channels of a pixel, and its result is in channels_last order.
    pixels = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    moved = pixels.index_select(0, places.flatten()).view(count, height, width, channels)
    inside = row_inside[:, :, None] & column_inside[:, None, :]
    return (moved * inside[..., None]).permute(0, 3, 1, 2)


def _sources(length: int, image_length: int, offsets: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each pixel along one axis the one that it is taken from, and whether that is inside the image."""
    places = torch.arange(length, device=offsets.device).expand(len(offsets), length)
    places = torch.where(flips[:, None].bool(), length - 1 - places, places)
    # Centre of the map's pixel, in image pixels and doubled so that it stays an integer numerator over `length`.
    numerators = (2 * places + 1) * image_length + 2 * offsets[:, None] * length
    sources = torch.div(numerators, 2 * image_length, rounding_mode="floor")
    inside = (sources >= 0) & (sources < length)
    return sources.clamp(0, length - 1), inside
