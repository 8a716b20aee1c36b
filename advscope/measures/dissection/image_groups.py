"""The groups of images that a jackknife leaves out one at a time."""

from torch import Tensor

from advscope.counter_hash import hash32

GROUPS = 10
"""Number of groups of images, which the jackknife leaves out one at a time."""

_GROUPING = 0x6A61636B
"""Sets the hash of the groups apart from other uses of the index."""


def group_of(indices: Tensor) -> Tensor:
    """Return the group of each image, int64 in [0, 10), as a function of its place in the data set alone.

    A hash of the index, not its last digit: data sets are laid out in regular orders (the class of ConceptShapes is the
    index modulo 10), and a group must be a sample of all images, not one kind of them.

    Args:
        indices: Place of each image in its data set, int64 ``(N,)``.
    """
    return hash32(_GROUPING, indices) % GROUPS
