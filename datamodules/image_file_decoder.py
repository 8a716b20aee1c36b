"""Class folders' images as batches: each file scaled and cropped as its use asks for."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from advscope.batch import Batch
from datamodules.class_folders import ImageFiles
from datamodules.decoding_loader import BatchDecoder
from datamodules.image_preprocessing import central_crop, draw, random_crop, read_rgb


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


class ImageFileDecoder(BatchDecoder):
    """Batches of image files in class folders.

    Args:
        files: All files; an index is a place among them.
        preprocessing: How a file becomes pixels.
        seed: Seed of the augmentation.
        training: Crop at random and mirror; else scale, and take the centre.
    """

    def __init__(self, files: ImageFiles, preprocessing: Preprocessing, seed: int, training: bool) -> None:
        self.files = files
        self.preprocessing = preprocessing
        self.seed = seed
        self.training = training

    def decode(self, indices: Tensor, epoch: int) -> Batch:
        """Return the images at these places among the files, as uint8 ``(N, 3, H, W)``, with their labels.

        Raises:
            BrokenFileError: If a file cannot be decoded; names it in one line.
        """
        settings = self.preprocessing
        size, resampling = settings.size, Image.Resampling[settings.interpolation.upper()]
        draws = draw(indices, seed=self.seed, epoch=epoch) if self.training else None
        pixels = np.empty((len(indices), size, size, 3), np.uint8)
        for place, index in enumerate(indices.tolist()):
            image = read_rgb(self.files.path(index))
            if draws is None:
                pixels[place] = central_crop(image, size=size, resize=settings.resize, resampling=resampling)
            else:
                pixels[place] = random_crop(
                    image, draws, place, size=size, min_area=settings.min_crop_area, resampling=resampling
                )
        return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), self.files.labels[indices], indices)
