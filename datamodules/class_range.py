"""Whether labels are classes that a network knows."""

import torch
from torch import Tensor, nn

from advscope.frozen import frozen


def check_labels(labels: Tensor, indices: Tensor, outputs: int) -> None:
    """Refuse labels that a network of so many outputs cannot predict.

    Args:
        labels: Classes, int64 ``(N,)``; -1 where an image has none.
        indices: Place of each image in its data set, ``(N,)``.
        outputs: Number of the network's logits.

    Raises:
        ValueError: If a label is not in 0 ... ``outputs - 1``; names the first image, and how many there are.
    """
    wrong = (labels >= outputs).nonzero().flatten()
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} of {len(labels)} images have a class that the network does not know, the first of them image"
            f" {int(indices[wrong[0]])} with class {int(labels[wrong[0]])}: the network has the {outputs} classes"
            f" 0 ... {outputs - 1}; use a network of as many classes as the data, or number these by its classes file"
        )


def count_outputs(network: nn.Module, size: tuple[int, int]) -> int | None:
    """Return a network's number of logits, found by running it on one black image; None where it does not run.

    Modes, hooks' owners aside, and the global random state stay as found.

    Args:
        network: Maps images ``(N, 3, H, W)`` in [0, 1] to logits.
        size: Height and width of the image.
    """
    first = next(network.parameters(), torch.zeros(()))
    if not first.is_floating_point() or first.is_meta:
        return None
    image = torch.zeros(1, 3, *size, device=first.device, dtype=first.dtype)
    try:
        with frozen(network), torch.no_grad():
            logits = network(image)
    except Exception:  # whatever the network raises, its first step says it better
        return None
    return logits.shape[1] if isinstance(logits, Tensor) and logits.ndim == 2 else None
