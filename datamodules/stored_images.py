"""What a decoder asks of images that are stored as files, in folders or in archives."""

from io import BytesIO
from typing import Protocol

from torch import Tensor


class StoredImages(Protocol):
    """Encoded images in a fixed order; an image's index is its place in it."""

    @property
    def labels(self) -> Tensor:
        """Class of each image, int64 ``(N,)``."""

    def name(self, place: int) -> str:
        """Return what a message calls one image: where it is stored."""

    def key(self, place: int) -> bytes:
        """Return what tells one image from the others, wherever the set is moved to."""

    def source(self, place: int) -> str | BytesIO:
        """Return the path of one encoded image, or its bytes.

        Raises:
            BrokenFileError: If the bytes are not there.
        """

    def size(self, place: int) -> int:
        """Return the size of one encoded image in bytes."""
