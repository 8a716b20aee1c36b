"""Batches that are decoded from files, by worker processes where there are any."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from advscope.batch import Batch
from datamodules.base import BatchLoader, ImageDataModule
from datamodules.image_preprocessing import BrokenFileError
from datamodules.in_memory import as_network_input


class BatchDecoder(Dataset[Any], ABC):
    """What turns indices into batches; it travels to the worker processes, and so holds no more than it needs."""

    @abstractmethod
    def decode(self, indices: Tensor, epoch: int) -> Batch:
        """Return the images at these places of the data set, as uint8 ``(N, C, H, W)``, with all that goes with them.

        Raises:
            BrokenFileError: If a file cannot be decoded; names it in one line.
        """

    def decode_noting(self, indices: Tensor, epoch: int) -> tuple[Batch, dict[int, str]]:
        """Return the batch, and one line for each image that was passed over as broken, by index.

        A decoder that stops at the first one has none to tell of.

        Raises:
            BrokenFileError: As :meth:`decode`.
        """
        return self.decode(indices, epoch), {}

    def __getitems__(self, keys: list[tuple[int, int]]) -> tuple[Batch, dict[int, str]] | str:
        """Return the batch of these (epoch, index), all of one epoch, and what is broken; or the line that ends it."""
        # A worker's own exception would arrive wrapped in its traceback.
        try:
            return self.decode_noting(torch.tensor([index for _, index in keys]), keys[0][0])
        except BrokenFileError as error:
            return str(error)


class DecodingLoader(BatchLoader):
    """Batches of images that worker processes decode.

    Args:
        data: Whose split it is; asked for epoch, process, seed and batch sizes.
        indices: Places in the data set of the split's images, in the split's order, int64 ``(N,)``.
        decoder: Makes a batch of indices.
        training: Shuffle, and leave the incomplete last batch out; else every image once, in order.
        num_workers: Processes that decode; 0 decodes in this one. They start with each iteration and end with it.
        start_method: How they start; None is Python's default.
    """

    def __init__(
        self,
        data: ImageDataModule,
        indices: Tensor,
        decoder: BatchDecoder,
        *,
        training: bool,
        num_workers: int = 0,
        start_method: str | None = None,
    ) -> None:
        super().__init__(data, len(indices), training=training)
        self.indices = indices
        self.decoder = decoder
        self.num_workers = num_workers
        self.start_method = start_method

    def fetch(self, batches: tuple[Tensor, ...], epoch: int) -> Iterator[Batch]:
        """Yield the batches that are at these places of the split; what is passed over as broken is noted in the data.

        An empty batch is one of no images, in their shape, and costs no worker anything.

        Raises:
            ValueError: If an image cannot be decoded; names the file in one line.
        """
        keys = [[(epoch, index) for index in self.indices[places].tolist()] for places in batches]
        decoded = self._decoded([key for key in keys if key])
        for key in keys:
            if not key:
                batch = self.decoder.decode(torch.empty(0, dtype=torch.int64), epoch)
            else:
                found = next(decoded)
                if isinstance(found, str):
                    raise BrokenFileError(found)
                batch, broken = found
                self.data.broken.update(broken)
            yield batch._replace(images=as_network_input(batch.images))

    def _decoded(self, keys: list[list[tuple[int, int]]]) -> Iterator[tuple[Batch, dict[int, str]] | str]:
        """Yield the decoded batches; the workers start when the first one is asked for."""
        yield from DataLoader(
            self.decoder,
            batch_sampler=keys,
            collate_fn=_as_is,
            num_workers=self.num_workers,
            multiprocessing_context=self.start_method if self.num_workers else None,
            # Workers are seeded from here: the global random state stays as it is.
            generator=torch.Generator(),
        )


def _as_is(batch: Any) -> Any:
    return batch
