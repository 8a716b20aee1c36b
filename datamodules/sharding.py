"""Which images a process takes in an epoch, and in which batches.

An epoch's order is a function of (seed, epoch) alone. Every process computes the whole order and takes each
``world_size``-th place of it, so that step ``k`` of all processes together covers the same images as step ``k`` of one
process with ``world_size`` times the batch size.
"""

from torch import Tensor, arange

from advscope.counter_hash import permutation


def training_batches(
    count: int, batch_size: int, *, seed: int = 0, epoch: int = 0, rank: int = 0, world_size: int = 1
) -> tuple[Tensor, ...]:
    """Return the batches of one process in one epoch of training: shuffled, and of one size.

    All processes take the same number of steps. What does not fill a batch is left out; it is another remainder in
    each epoch. Where a process's share is smaller than a batch, it is one smaller batch.

    Args:
        count: Number of images in the split.
        batch_size: Images per batch and process.
        seed: Seed of the run.
        epoch: Epoch, from 0.
        rank: This process, in 0 ... ``world_size - 1``.
        world_size: Number of processes.

    Returns:
        Places in the split, one int64 tensor per batch.

    Raises:
        ValueError: If ``batch_size`` is not positive, or there are fewer images than processes.

    Example:
        >>> [len(batch) for batch in training_batches(10, 4)]
        [4, 4]
        >>> [len(batch) for batch in training_batches(3, 4)]
        [3]
    """
    steps = training_steps(count, batch_size, world_size)
    share = permutation(count, seed, epoch)[rank::world_size][: min(steps * batch_size, count // world_size)]
    return tuple(share.split(batch_size))


def training_steps(count: int, batch_size: int, world_size: int = 1) -> int:
    """Return the number of batches that :func:`training_batches` gives to each process."""
    _require_batch_size(batch_size)
    if count < world_size:
        raise ValueError(f"{count} training images cannot be shared among {world_size} processes: use fewer processes")
    return max(1, count // world_size // batch_size)


def evaluation_batches(count: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> tuple[Tensor, ...]:
    """Return the batches of one process in evaluation: every image once, in the fixed order, nothing padded.

    Args:
        count: Number of images in the split.
        batch_size: Images per batch and process; the last batch may be smaller.
        rank: This process, in 0 ... ``world_size - 1``.
        world_size: Number of processes.

    Returns:
        Places in the split, one int64 tensor per batch; none where there are more processes than images.

    Raises:
        ValueError: If ``batch_size`` is not positive.

    Example:
        >>> evaluation_batches(5, 2, rank=0, world_size=2)
        (tensor([0, 2]), tensor([4]))
        >>> evaluation_batches(5, 2, rank=1, world_size=2)
        (tensor([1, 3]),)
    """
    _require_batch_size(batch_size)
    share = arange(count)[rank::world_size]
    return tuple(share.split(batch_size)) if len(share) else ()


def evaluation_steps(count: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> int:
    """Return the number of batches that :func:`evaluation_batches` gives to this process."""
    _require_batch_size(batch_size)
    share = len(range(rank, count, world_size))
    return -(-share // batch_size)


def _require_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
