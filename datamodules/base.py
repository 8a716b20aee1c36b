"""What all image data share: three splits, classes, and loaders that the training and the evaluation can rely on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal

from pytorch_lightning import LightningDataModule
from torch import Tensor, arange

from advscope.batch import Batch
from advscope.concepts import Concept
from advscope.counter_hash import permutation
from datamodules.sharding import evaluation_batches, evaluation_steps, training_batches, training_steps

SplitName = Literal["train", "val", "test"]

# Counters of the permutation that holds validation images out. No setting changes them, so that runs with different
# seeds hold the same images out.
_HOLD_OUT = (0, 0x7E57)


class ImageDataModule(LightningDataModule, ABC):
    """Image data in three splits, delivered as :class:`~advscope.batch.Batch`.

    Shuffling and augmentation are functions of (seed, epoch, index): not of the process, the batch, the number of
    workers or the global random state. Epoch and process are asked of the attached trainer when iteration starts. Build
    the ``Trainer`` with ``use_distributed_sampler=False``: the loaders share the images out themselves.

    Args:
        batch_size: Training images per batch and process.
        eval_batch_size: Images per batch and process in validation and test.
        seed: Seed of shuffling and augmentation.

    Attributes:
        max_images: A test takes the first so many images of its split; ``None`` for all.
        source: A test takes the images of this class alone; ``None`` for all.
        done_batches: The first batches of a test that come empty, since an evaluation that was stopped knows them.
        stopped: A test takes no further batch.
        broken: Why images that this process passed over since the last ``setup`` could not be decoded, in one line
            each, by their place in the data set.
    """

    class_names: tuple[str, ...]
    """Names of the classes, by number."""
    concepts: tuple[Concept, ...] = ()
    """Every label that ``concepts`` and ``image_concepts`` of a batch can hold; none where images have no concepts."""

    def __init__(self, batch_size: int = 128, eval_batch_size: int = 256, seed: int = 0) -> None:
        super().__init__()
        for name, size in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.seed = seed
        self.max_images: int | None = None
        self.source: int | None = None
        self.done_batches = 0
        self.stopped = False
        self.broken: dict[int, str] = {}

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    @abstractmethod
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that a network is given, in pixels."""

    @property
    def epoch(self) -> int:
        """Epoch of the attached trainer; 0 without one."""
        return self.trainer.current_epoch if self.trainer else 0

    @property
    def rank(self) -> int:
        """Number of this process among those of the attached trainer; 0 without one."""
        return self.trainer.global_rank if self.trainer else 0

    @property
    def world_size(self) -> int:
        """Number of processes of the attached trainer; 1 without one."""
        return self.trainer.world_size if self.trainer else 1

    @abstractmethod
    def split_indices(self, name: SplitName) -> Tensor:
        """Return the places in the data set of a split's images, in the split's fixed order, int64 ``(N,)``."""

    @abstractmethod
    def classes_of(self, name: SplitName) -> Tensor:
        """Return the class of each image of a split, in the split's order, int64 ``(N,)``; -1 where there is none."""

    @abstractmethod
    def checksum(self, name: SplitName) -> str:
        """Return the sha256 of what a split holds, in hexadecimal; results record it."""

    @abstractmethod
    def loader(self, name: SplitName, *, training: bool) -> "BatchLoader":
        """Return a loader of a split: shuffled and augmented for training, else in the fixed order, as it is."""

    def tested_places(self) -> Tensor:
        """Return the places in the test split of the images that a test takes, in order, int64 ``(M,)``.

        Raises:
            ValueError: If there is none.
        """
        places = arange(len(self.split_indices("test")))
        if self.source is not None:
            places = places[self.classes_of("test") == self.source]
            if not len(places):
                raise ValueError(
                    f"the test images hold none of class {self.source} ({self.class_names[self.source]}): "
                    "name another --source"
                )
        return places[: self.max_images]

    def tested_indices(self) -> Tensor:
        """Return the places in the data set of the images that a test takes, in order, int64 ``(M,)``.

        Raises:
            ValueError: If there is none.
        """
        return self.split_indices("test")[self.tested_places()]

    def tested_batches(self) -> tuple[Tensor, ...]:
        """Return the places in the data set of this process's test images, batch by batch."""
        indices = self.tested_indices()
        batches = evaluation_batches(len(indices), self.eval_batch_size, rank=self.rank, world_size=self.world_size)
        return tuple(indices[batch] for batch in batches)

    def setup(self, stage: str) -> None:
        """Read the splits that a stage needs, so that what is wrong with them is said before the first step."""
        stages: dict[str, tuple[SplitName, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for name in stages.get(stage, ("test",)):
            self.split_indices(name)

    def train_dataloader(self) -> "BatchLoader":
        """Return the training images, shuffled and augmented anew in each epoch."""
        return self.loader("train", training=True)

    def val_dataloader(self) -> "BatchLoader":
        """Return the validation images, in their fixed order."""
        return self.loader("val", training=False)

    def test_dataloader(self) -> "BatchLoader":
        """Return the test images that a test takes, in their fixed order."""
        loader = self.loader("test", training=False)
        loader.places = self.tested_places()
        return loader

    def predict_dataloader(self) -> "BatchLoader":
        """Return the test images, in their fixed order."""
        return self.test_dataloader()


class BatchLoader(ABC):
    """Batches of one split for one process; iterating again starts over, with the epoch of that moment.

    Args:
        data: Whose split it is; asked for epoch, process, seed and batch sizes.
        count: Number of images in the split.
        training: Shuffle, and leave the incomplete last batch out; else every image once, in order.

    Attributes:
        places: The places of the split that a test takes; ``None`` where this is no test: all of them then.
    """

    def __init__(self, data: ImageDataModule, count: int, *, training: bool) -> None:
        self.data = data
        self.count = count
        self.training = training
        self.places: Tensor | None = None
        self._epoch: int | None = None

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Every label that ``concepts`` and ``image_concepts`` of its batches can hold; none where there are none."""
        return self.data.concepts

    @abstractmethod
    def fetch(self, batches: tuple[Tensor, ...], epoch: int) -> Iterator[Batch]:
        """Yield the batches that are at these places of the split; no places make a batch without images."""

    def set_epoch(self, epoch: int) -> None:
        """Iterate over this epoch from now on, whatever the trainer's is."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        """Yield this process's batches of the epoch."""
        # A generator on purpose: Lightning may ask for the iterator before it restores the epoch of a checkpoint, and
        # takes the first batch after it.
        epoch = self.data.epoch if self._epoch is None else self._epoch
        rank, world_size = self.data.rank, self.data.world_size
        if self.training:
            batches = training_batches(
                self.count, self.data.batch_size, seed=self.data.seed, epoch=epoch, rank=rank, world_size=world_size
            )
        elif self.places is None:
            batches = evaluation_batches(self.count, self.data.eval_batch_size, rank=rank, world_size=world_size)
        else:
            count = len(self.places)
            parts = evaluation_batches(count, self.data.eval_batch_size, rank=rank, world_size=world_size)
            # What is done comes empty, so that batches keep their numbers.
            batches = tuple(
                self.places[part[:0] if number < self.data.done_batches else part] for number, part in enumerate(parts)
            )
        for batch in self.fetch(batches, epoch):
            yield batch
            if self.places is not None and self.data.stopped:
                return

    def __len__(self) -> int:
        """Return the number of batches of this process."""
        if self.training:
            return training_steps(self.count, self.data.batch_size, self.data.world_size)
        count = self.count if self.places is None else len(self.places)
        return evaluation_steps(count, self.data.eval_batch_size, rank=self.data.rank, world_size=self.data.world_size)


def hold_out(count: int, held_out: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the places of the images to train on and of those to validate on.

    Validation is the end of a permutation of the training images that is the same for every run and seed.

    Args:
        count: Number of training images.
        held_out: How many to validate on; None is a tenth, rounded down, but at least one.

    Raises:
        ValueError: If either part would be empty.

    Example:
        >>> [len(part) for part in hold_out(8068)]
        [7262, 806]
    """
    held_out = max(1, count // 10) if held_out is None else held_out
    if not 0 < held_out < count:
        raise ValueError(
            f"{held_out} validation images cannot be held out of {count} training images: both need at least one"
        )
    order = permutation(count, *_HOLD_OUT)
    return order[:-held_out], order[-held_out:]
