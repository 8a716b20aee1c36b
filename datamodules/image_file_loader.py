"""Batches of image files, decoded by worker processes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from advscope.batch import Batch
from datamodules.base import BatchLoader, ImageDataModule
from datamodules.class_folders import ImageFiles
from datamodules.image_preprocessing import central_crop, draw, random_crop, read_rgb
from datamodules.in_memory import as_network_input


class Preprocessing(NamedTuple):
    """How an image file becomes the pixels that a network sees."""

    size: int
    """Side of the result, in pixels."""
    resize: int
    """Short side to which evaluation scales an image before it takes the centre."""
    interpolation: str
    """``bilinear`` or ``bicubic``."""
    min_crop_area: float
    """Smallest share of a training image's area that a random crop covers."""


class ImageFileLoader(BatchLoader):
    """Batches of images that worker processes decode.

    Args:
        data: Whose split it is; asked for epoch, process, seed and batch sizes.
        files: All files among which the split's images are.
        indices: Places of the split's images among the files, in the split's order, int64 ``(N,)``.
        preprocessing: How a file becomes pixels.
        training: Shuffle and augment, and leave the incomplete last batch out; else every image once, in order.
        num_workers: Processes that decode; 0 decodes in this one. They start with each iteration and end with it.
        start_method: How they start; None is Python's default.
    """

    def __init__(
        self,
        data: ImageDataModule,
        files: ImageFiles,
        indices: Tensor,
        preprocessing: Preprocessing,
        *,
        training: bool,
        num_workers: int = 0,
        start_method: str | None = None,
    ) -> None:
        super().__init__(data, len(indices), training=training)
        self.indices = indices
        self.num_workers = num_workers
        self.start_method = start_method
        self.images = _DecodedBatches(files, preprocessing, data.seed, training)

    def fetch(self, batches: tuple[Tensor, ...], epoch: int) -> Iterator[Batch]:
        """Yield the batches that are at these places of the split.

        Raises:
            ValueError: If an image cannot be decoded; names the file in one line.
        """
        keys = [[(epoch, index) for index in self.indices[places].tolist()] for places in batches]
        decoded = DataLoader(
            self.images,
            batch_sampler=keys,
            collate_fn=_as_is,
            num_workers=self.num_workers,
            multiprocessing_context=self.start_method if self.num_workers else None,
            # Workers are seeded from here: the global random state stays as it is.
            generator=torch.Generator(),
        )
        for batch in decoded:
            # A worker's own exception would arrive wrapped in its traceback.
            if isinstance(batch, str):
                raise ValueError(batch)
            pixels, labels, indices = batch
            yield Batch(as_network_input(pixels), labels, indices)


class _DecodedBatches(Dataset[Any]):
    """Batches of uint8 images by lists of (epoch, index); what travels to the worker processes."""

    def __init__(self, files: ImageFiles, preprocessing: Preprocessing, seed: int, training: bool) -> None:
        self.files = files
        self.preprocessing = preprocessing
        self.seed = seed
        self.training = training

    def __getitems__(self, keys: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor] | str:
        """Return pixels ``(N, 3, H, W)``, labels and indices; or the one line that says which image is broken."""
        indices = torch.tensor([index for _, index in keys])
        settings = self.preprocessing
        size, resampling = settings.size, Image.Resampling[settings.interpolation.upper()]
        draws = draw(indices, seed=self.seed, epoch=keys[0][0]) if self.training else None
        pixels = np.empty((len(keys), size, size, 3), np.uint8)
        for place, index in enumerate(indices.tolist()):
            try:
                image = read_rgb(self.files.path(index))
            except ValueError as error:
                return str(error)
            if draws is None:
                pixels[place] = central_crop(image, size=size, resize=settings.resize, resampling=resampling)
            else:
                pixels[place] = random_crop(
                    image, draws, place, size=size, min_area=settings.min_crop_area, resampling=resampling
                )
        return torch.from_numpy(pixels).permute(0, 3, 1, 2), self.files.labels[indices], indices


def _as_is(batch: Any) -> Any:
    return batch
