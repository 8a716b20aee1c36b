"""Tests of who takes which images."""

import pytest
import torch

from datamodules.sharding import evaluation_batches, evaluation_steps, training_batches, training_steps


def test_training_leaves_the_incomplete_last_batch_out() -> None:
    # 10 images in batches of 4: 2 full batches, 2 images left out.
    batches = training_batches(10, 4)

    assert [len(batch) for batch in batches] == [4, 4]
    assert len(torch.cat(batches).unique()) == 8


def test_a_split_smaller_than_a_batch_is_one_smaller_batch() -> None:
    (batch,) = training_batches(3, 4)

    assert batch.sort().values.tolist() == [0, 1, 2]


def test_training_order_is_another_one_in_each_epoch_and_for_each_seed() -> None:
    orders = [torch.cat(training_batches(64, 8, seed=s, epoch=e)).tolist() for s, e in ((0, 0), (0, 1), (1, 0), (1, 1))]

    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == list(range(64)) for order in orders)
    assert orders[0] != list(range(64))


@pytest.mark.parametrize(("count", "world_size"), [(64, 2), (67, 3), (11, 2), (5, 3)])
def test_processes_together_take_what_one_takes_with_a_larger_batch(count: int, world_size: int) -> None:
    alone = training_batches(count, 4 * world_size, seed=3, epoch=1)
    shares = [training_batches(count, 4, seed=3, epoch=1, rank=r, world_size=world_size) for r in range(world_size)]

    assert {len(share) for share in shares} == {training_steps(count, 4, world_size)}
    if count >= 4 * world_size:
        for step, batch in enumerate(alone):
            together = torch.cat([share[step] for share in shares])
            assert together.sort().values.tolist() == batch.sort().values.tolist()
    taken = torch.cat([torch.cat(share) for share in shares])
    assert len(taken.unique()) == len(taken)


def test_processes_take_equally_many_images_when_a_share_is_smaller_than_a_batch() -> None:
    # 5 images for 3 processes: one each, 2 left out.
    shares = [training_batches(5, 4, rank=rank, world_size=3) for rank in range(3)]

    assert [[len(batch) for batch in share] for share in shares] == [[1], [1], [1]]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 7, 12])
def test_evaluation_takes_every_image_once_in_order(count: int, world_size: int) -> None:
    shares = [evaluation_batches(count, 3, rank=rank, world_size=world_size) for rank in range(world_size)]

    taken = [place for share in shares for batch in share for place in batch.tolist()]
    assert sorted(taken) == list(range(count))
    for rank, share in enumerate(shares):
        assert [p for batch in share for p in batch.tolist()] == list(range(rank, count, world_size))
        assert len(share) == evaluation_steps(count, 3, rank=rank, world_size=world_size)


def test_rejects_a_batch_size_of_zero_and_more_processes_than_images() -> None:
    with pytest.raises(ValueError, match="batch size must be at least 1, got 0"):
        training_batches(10, 0)
    with pytest.raises(ValueError, match="batch size must be at least 1, got 0"):
        evaluation_batches(10, 0)
    with pytest.raises(ValueError, match="2 training images cannot be shared among 3 processes"):
        training_batches(2, 4, world_size=3)
