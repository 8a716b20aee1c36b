"""Tests of crops and flips."""

import pickle

import pytest
import torch
from torch import Tensor

from advscope.counter_hash import hash32
from datamodules.augmentation import CROP_FLIP, CropFlip, ready

IMAGES = torch.arange(40 * 3 * 6 * 8).remainder(251).to(torch.uint8).view(40, 3, 6, 8) + 1
INDICES = torch.arange(40) * 7 + 3


def slow_crop_flip(images: Tensor, indices: Tensor, padding: int, seed: int, epoch: int) -> Tensor:
    """Pad, crop and mirror image by image and pixel by pixel."""
    count, channels, height, width = images.shape
    result = torch.zeros_like(images)
    for place in range(count):
        index = indices[place : place + 1]
        row = int(hash32(seed, epoch, index, 0xA001)) % (2 * padding + 1)
        column = int(hash32(seed, epoch, index, 0xA002)) % (2 * padding + 1)
        mirrored = int(hash32(seed, epoch, index, 0xA003)) >= 2**31
        padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=images.dtype)
        padded[:, padding : padding + height, padding : padding + width] = images[place]
        for i in range(height):
            for j in range(width):
                source = width - 1 - j if mirrored else j
                result[place, :, i, j] = padded[:, row + i, column + source]
    return result


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_agrees_with_the_plain_loop(padding: int) -> None:
    images, _ = CropFlip(padding)(IMAGES, INDICES, seed=5, epoch=2)

    assert images.dtype == torch.uint8
    assert torch.equal(images, slow_crop_flip(IMAGES, INDICES, padding, 5, 2))


def test_moves_and_mirrors_in_every_possible_way() -> None:
    # One bright pixel in the middle of 7x7, padding 1: it ends in one of 9 places, each hit about equally often.
    count = 9000
    images = torch.zeros(count, 1, 7, 7, dtype=torch.uint8)
    images[:, 0, 3, 3] = 255

    moved, _ = CropFlip(1)(images, torch.arange(count), seed=0, epoch=0)

    hits = (moved > 0).sum(dim=0)[0]
    assert hits[2:5, 2:5].sum() == count
    # 1000 expected in each place, standard deviation sqrt(9000 * 1/9 * 8/9) = 30
    assert (hits[2:5, 2:5] - 1000).abs().max() < 5 * 30


def test_mirrors_half_of_the_images_or_none() -> None:
    count = 4000
    images = torch.tensor([1, 2], dtype=torch.uint8).expand(count, 1, 1, 2)

    mirrored = CropFlip(0)(images, torch.arange(count), seed=0, epoch=0)[0][:, 0, 0, 0] == 2
    never = CropFlip(0, flip=False)(images, torch.arange(count), seed=0, epoch=0)[0]

    assert abs(int(mirrored.sum()) - 2000) < 5 * 32  # standard deviation sqrt(4000) / 2 = 32
    assert torch.equal(never, images)


def test_an_image_is_the_same_in_any_batch_and_order() -> None:
    augmentation = CropFlip(2)
    together, _ = augmentation(IMAGES, INDICES, seed=1, epoch=4)
    order = torch.arange(39, -1, -1)

    backwards, _ = augmentation(IMAGES[order], INDICES[order], seed=1, epoch=4)
    alone, _ = augmentation(IMAGES[17:18], INDICES[17:18], seed=1, epoch=4)

    assert torch.equal(backwards[order], together)
    assert torch.equal(alone[0], together[17])


def test_differs_by_seed_and_epoch_and_leaves_the_global_random_state() -> None:
    state = torch.get_rng_state()
    results = [CropFlip(2)(IMAGES, INDICES, seed=seed, epoch=epoch)[0] for seed, epoch in ((0, 0), (0, 1), (1, 0))]

    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert not torch.equal(results[1], results[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_concepts_move_with_the_pixels() -> None:
    concepts = IMAGES[:, :2].to(torch.int16)

    images, moved = CropFlip(3)(IMAGES, INDICES, seed=0, epoch=1, concepts=concepts)

    assert moved is not None
    assert moved.dtype == torch.int16
    assert torch.equal(moved, images[:, :2].to(torch.int16))


def test_concepts_of_half_resolution_take_the_label_under_their_centre() -> None:
    # Image of 8 columns, labels of 4: label p has its centre at 2p + 1. Moved by o image pixels (no flip), it comes
    # from the label at floor((2p + 1 + o) / 2); outside 0 ... 3 it is unlabelled.
    images = torch.zeros(60, 1, 8, 8, dtype=torch.uint8)
    concepts = torch.tensor([1, 2, 3, 4], dtype=torch.int16).expand(60, 1, 4, 4)
    indices = torch.arange(60)

    _, moved = CropFlip(3, flip=False)(images, indices, seed=0, epoch=0, concepts=concepts)

    assert moved is not None
    offsets = hash32(0, 0, indices, 0xA002) % 7 - 3
    rows = hash32(0, 0, indices, 0xA001) % 7 - 3
    assert set(offsets.tolist()) == set(range(-3, 4))
    for place in range(60):
        for i in range(4):
            for j in range(4):
                row, column = (2 * i + 1 + int(rows[place])) // 2, (2 * j + 1 + int(offsets[place])) // 2
                inside = 0 <= row < 4 and 0 <= column < 4
                assert int(moved[place, 0, i, j]) == (column + 1 if inside else 0)


def test_the_default_of_signatures_becomes_a_real_one_that_pickles() -> None:
    augmentation = ready(CROP_FLIP)

    assert type(augmentation) is CropFlip
    assert (augmentation.padding, augmentation.flip) == (4, True)
    assert pickle.loads(pickle.dumps(augmentation)).padding == 4
    assert ready(None) is None
    own = CropFlip(2)
    assert ready(own) is own


def test_rejects_negative_padding() -> None:
    with pytest.raises(ValueError, match="padding must not be negative, got -1"):
        CropFlip(-1)
