"""Stored images as batches: each file scaled and cropped as its use asks for."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from advscope.batch import Batch
from datamodules.decoding_loader import BatchDecoder
from datamodules.image_preprocessing import BrokenFileError, central_crop, draw, random_crop, read_rgb
from datamodules.preprocessing import Preprocessing
from datamodules.stored_images import StoredImages


class ImageFileDecoder(BatchDecoder):
    """Batches of stored images.

    Args:
        images: All images; an index is a place among them.
        preprocessing: How a file becomes pixels.
        seed: Seed of the augmentation.
        training: Crop at random and mirror; else scale, and take the centre.
        skip: Whether a file that cannot be decoded is noted and passed over instead of stopping the run. Evaluation
            leaves it out. Training takes the next image of the pool in its place, the first one again after the last,
            with that image's own crop: a batch keeps its size, and no other image changes.
        pool: Indices that training may take instead, ascending, int64; needed where it skips.
    """

    def __init__(
        self,
        images: StoredImages,
        preprocessing: Preprocessing,
        seed: int,
        training: bool,
        skip: bool = False,
        pool: Tensor | None = None,
    ) -> None:
        if skip and training and pool is None:
            raise ValueError("training that skips broken images needs a pool to replace them from")
        self.images = images
        self.preprocessing = preprocessing
        self.seed = seed
        self.training = training
        self.skip = skip
        self.pool = pool

    def decode(self, indices: Tensor, epoch: int) -> Batch:
        """Return the images at these places, as uint8 ``(N, 3, H, W)``, with their labels.

        Raises:
            BrokenFileError: If a file cannot be decoded, and is not to be skipped; names it in one line.
        """
        return self.decode_noting(indices, epoch)[0]

    def decode_noting(self, indices: Tensor, epoch: int) -> tuple[Batch, dict[int, str]]:
        """Return the images at these places, and one line for each that was passed over, by index.

        Raises:
            BrokenFileError: As :meth:`decode`.
        """
        size = self.preprocessing.size
        pixels = np.empty((len(indices), size, size, 3), np.uint8)
        taken: list[int] = []
        broken: dict[int, str] = {}
        crops = draw(indices, seed=self.seed, epoch=epoch) if self.training else None
        for place, wanted in enumerate(indices.tolist()):
            index, image = wanted, self._read(wanted, broken)
            while image is None and self.training:
                index = self._next(index, wanted)
                image = self._read(index, broken)
            if image is None:
                continue
            if crops is None:
                pixels[len(taken)] = self._centre(image)
            else:
                own = crops if index == wanted else draw(torch.tensor([index]), seed=self.seed, epoch=epoch)
                pixels[len(taken)] = random_crop(
                    image,
                    own,
                    place if index == wanted else 0,
                    size=size,
                    min_area=self.preprocessing.min_crop_area,
                    resampling=self._resampling,
                )
            taken.append(index)
        decoded = torch.from_numpy(pixels[: len(taken)]).permute(0, 3, 1, 2)
        where = torch.tensor(taken, dtype=torch.int64)
        return Batch(decoded, self.images.labels[where], where), broken

    @property
    def _resampling(self) -> Image.Resampling:
        return Image.Resampling[self.preprocessing.interpolation.upper()]

    def _centre(self, image: Image.Image) -> NDArray[np.uint8]:
        size, resize = self.preprocessing.size, self.preprocessing.resize
        return central_crop(image, size=size, resize=resize, resampling=self._resampling)

    def _read(self, index: int, broken: dict[int, str]) -> Image.Image | None:
        """Return one image, None where it is broken and to be skipped."""
        try:
            return read_rgb(self.images.source(index), self.images.name(index))
        except BrokenFileError as error:
            if not self.skip:
                raise
            broken[index] = str(error)
            return None

    def _next(self, index: int, wanted: int) -> int:
        """Return the index after one in the pool; an image that was looked for all around the pool is not there."""
        assert self.pool is not None  # the constructor refuses it
        after = int(torch.searchsorted(self.pool, index, right=True)) % len(self.pool)
        following = int(self.pool[after])
        if following == wanted:
            raise BrokenFileError(f"none of the {len(self.pool)} training images is readable: replace them")
        return following
