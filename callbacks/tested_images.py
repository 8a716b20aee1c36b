"""The images of a test, for a monitor that makes passes of its own over them."""

from collections.abc import Iterator
from typing import Any

import torch
from pytorch_lightning import Trainer

from advscope.batch import Batch


class TestedImages:
    """The images of a test, for this process, as often as they are iterated over, whatever of them is done.

    Args:
        trainer: Whose datamodule's test it is.
        max_images: The first so many alone; ``None`` for all.

    Attributes:
        indices: Places of this process's images in the data set, int64.
        bar: Moved on by every image.
    """

    def __init__(self, trainer: Trainer, max_images: int | None) -> None:
        self.data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self.bar: Any = None
        self.wanted = self.data.tested_indices()[:max_images]
        own = torch.cat([torch.zeros(0, dtype=torch.int64), *self.data.tested_batches()])
        self.indices = own[torch.isin(own, self.wanted)]

    def __iter__(self) -> Iterator[Batch]:
        """Yield the images batch by batch; the loader would leave out batches that the evaluation has done."""
        data = self.data
        done, stopped = data.done_batches, data.stopped
        data.done_batches, data.stopped = 0, False
        try:
            for whole in data.test_dataloader():
                chosen = torch.isin(whole.indices, self.wanted)
                if not chosen.any() and len(chosen):  # the images come in order: none of those that follow is wanted
                    return
                batch = Batch(*(None if field is None else field[chosen] for field in whole))
                yield batch._replace(images=batch.images.float())
                self.bar.update(len(batch.indices))
        finally:
            data.done_batches, data.stopped = done, stopped
