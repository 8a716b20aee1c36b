"""Annotated images decoded: pixels as the network sees them, labels as they are."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from advscope.batch import Batch
from datamodules.broden.index import AnnotatedImages
from datamodules.broden.label_mask import read_mask
from datamodules.broden.labels import Labels
from datamodules.decoding_loader import BatchDecoder
from datamodules.image_preprocessing import BrokenFileError, read_rgb


class AnnotatedImageDecoder(BatchDecoder):
    """Batches of annotated images, by their rows in index.csv.

    Args:
        images: Which images, and where their annotation is.
        labels: The labels that masks may hold.
        size: Side to which images are scaled, in pixels.
    """

    def __init__(self, images: AnnotatedImages, labels: Labels, size: int) -> None:
        self.images = images
        self.size = size
        self.known = {category: np.zeros(2**16, np.bool_) for category in images.layers}
        for category, known in self.known.items():
            known[[0, *labels.numbers[category]]] = True

    def decode(self, indices: Tensor, epoch: int) -> Batch:
        """Return the images of these rows as uint8 ``(N, 3, size, size)``, without classes, with all their labels.

        Raises:
            BrokenFileError: If a file cannot be decoded, or a mask holds an unknown label; names file and row.
        """
        places = np.searchsorted(self.images.rows, indices.numpy())
        pixels = np.empty((len(places), self.size, self.size, 3), np.uint8)
        shape = len(places), len(self.images.layers), self.images.height, self.images.width
        concepts = np.zeros(shape, np.int16)
        for number, place in enumerate(places):
            try:
                # PIL's resize antialiases; to its own size it copies, so that pixels stay exact.
                image = self.image(place).resize((self.size, self.size), Image.Resampling.BILINEAR)
                pixels[number] = np.asarray(image)
                for layer, mask in enumerate(self.images.masks[place]):
                    if mask:
                        concepts[number, layer] = self.mask(place, layer)
            except BrokenFileError as error:
                raise BrokenFileError(f"row {self.images.rows[place]} of index.csv: {error}") from error
        return Batch(
            torch.from_numpy(pixels).permute(0, 3, 1, 2),
            torch.full((len(places),), -1),
            indices,
            torch.from_numpy(concepts),
            self.images.labels[torch.from_numpy(places)],
        )

    def image(self, place: int) -> Image.Image:
        """Return an image as it is stored, by its place among the chosen ones.

        Raises:
            BrokenFileError: If it cannot be decoded; names the file.
        """
        return read_rgb(self.images.path(self.images.images[place]), remedy="replace it, or remove its row")

    def mask(self, place: int, layer: int) -> NDArray[np.uint16]:
        """Return the label numbers of a mask that is there, ``(sh, sw)``.

        Raises:
            BrokenFileError: If it cannot be decoded, is of another size, or has a label that its category does not
                list; names the file.
        """
        path, category = self.images.path(self.images.masks[place, layer]), self.images.layers[layer]
        mask = read_mask(path, self.images.height, self.images.width)
        known = self.known[category][mask]
        if not known.all():
            raise BrokenFileError(
                f"{path} has the label {mask[~known][0]}, which c_{category}.csv does not list: replace the mask, or"
                " complete the tables"
            )
        return mask
