"""Tests of the loader that decodes: empty batches, and what is passed over as broken."""

import pytest
import torch
from torch import Tensor

from advscope.batch import Batch
from datamodules.base import ImageDataModule
from datamodules.decoding_loader import BatchDecoder, DecodingLoader
from datamodules.image_preprocessing import BrokenFileError


class Numbers(BatchDecoder):
    """Images of one pixel that show their index; multiples of five are broken."""

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, indices: Tensor, epoch: int) -> Batch:
        self.decoded += len(indices)
        return Batch(indices.view(-1, 1, 1, 1).expand(-1, 3, 2, 2).to(torch.uint8), indices + epoch, indices)

    def decode_noting(self, indices: Tensor, epoch: int) -> tuple[Batch, dict[int, str]]:
        whole = indices % 5 != 0
        if (indices > 100).any():
            raise BrokenFileError("beyond repair")
        return self.decode(indices[whole], epoch), {index: f"{index} is broken" for index in indices[~whole].tolist()}


class Data(ImageDataModule):
    """Data of which the loader asks no more than where to note broken images."""

    class_names = ()
    image_size = (2, 2)

    def split_indices(self, name: str) -> Tensor:
        raise AssertionError

    checksum = loader = classes_of = split_indices


def loader_of(count: int, num_workers: int) -> DecodingLoader:
    indices = torch.arange(count) + 3
    return DecodingLoader(Data(), indices, Numbers(), training=False, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_empty_batches_stay_in_their_place_and_decode_nothing(num_workers: int) -> None:
    loader = loader_of(9, num_workers)
    places = (torch.tensor([1, 0]), torch.tensor([3]), torch.tensor([8, 3]), torch.tensor([5]))
    whole = list(loader.fetch(places, 4))
    loader.decoder.decoded = 0

    resumed = list(loader.fetch((places[0][:0], places[1], places[2][:0], places[3]), 4))

    assert [len(batch.labels) for batch in resumed] == [0, 1, 0, 1]
    assert torch.equal(resumed[1].images, whole[1].images)
    assert torch.equal(resumed[3].labels, whole[3].labels)
    for empty in (resumed[0], resumed[2]):
        assert empty.images.shape == (0, 3, 2, 2)
        assert (empty.images.dtype, empty.labels.dtype, empty.indices.dtype) == (torch.float32, *[torch.int64] * 2)
    # Decoded in this process, the others are counted, too.
    assert loader.decoder.decoded == (2 if num_workers == 0 else 0)


def test_empty_batches_alone_start_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a loader of workers was made")

    loader = loader_of(9, 2)
    monkeypatch.setattr("datamodules.decoding_loader.DataLoader", refuse)

    assert [len(batch.labels) for batch in loader.fetch((torch.arange(0), torch.arange(0)), 0)] == [0, 0]
    assert list(loader.fetch((), 0)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_is_passed_over_is_noted_where_it_is_read(num_workers: int) -> None:
    loader = loader_of(9, num_workers)
    batches = list(loader.fetch((torch.arange(4), torch.tensor([7]), torch.arange(4, 7)), 0))

    assert [batch.indices.tolist() for batch in batches] == [[3, 4, 6], [], [7, 8, 9]]
    assert batches[1].images.shape == (0, 3, 2, 2)
    assert loader.data.broken == {5: "5 is broken", 10: "10 is broken"}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_cannot_be_passed_over_ends_the_iteration(num_workers: int) -> None:
    with pytest.raises(BrokenFileError, match=r"^beyond repair$"):
        list(loader_of(200, num_workers).fetch((torch.tensor([1]), torch.tensor([150])), 0))
