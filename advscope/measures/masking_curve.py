"""Accuracy and robustness of a network against how many of its units are masked, in several orders."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.batch import Batch
from advscope.frozen import MicroBatched, frozen
from advscope.intervals import Estimate, mean, rate
from advscope.measures.unit_orders import check_numbers
from advscope.processes import summed

AttackCall = Callable[..., Tensor]
"""``attack(network, images, labels, indices=indices)`` returns adversarial images."""

Units = tuple[int, ...]
"""Numbers of masked units, ascending."""


class MaskedOutcome(NamedTuple):
    """What one masked network made of this process's images; those without a class (label -1) are left out."""

    indices: Tensor
    """Place of each image in its data set, ascending, int64 ``(n,)``."""
    clean: Tensor
    """Whether the clean image is predicted as its label, bool ``(n,)``."""
    robust: Tensor
    """Whether the clean and the adversarial image are, bool ``(n,)``."""
    forwards: int
    """Images that went forward through a :class:`~advscope.frozen.MicroBatched` network; 0 for another one."""
    backwards: int
    """Images that gradients went back to, likewise."""


class MaskingPoint(NamedTuple):
    """Rates at one number of masked units, over the images of all processes, with 95% intervals."""

    clean: Estimate
    """Share of images predicted as their label; Wilson's interval."""
    robust: Estimate
    """Share of images predicted as their label, both clean and attacked; Wilson's interval."""
    clean_difference: Estimate
    """``clean`` minus that of no masked unit, paired by image; mean +- 1.96 s / sqrt(n)."""
    robust_difference: Estimate
    """``robust`` minus that of no masked unit, likewise."""


def masking_curve(
    masked: Callable[[Units], nn.Module],
    batches: Iterable[Batch],
    orders: Mapping[str, Sequence[Sequence[int]]],
    numbers: Sequence[int],
    attack: AttackCall,
    outcomes: MutableMapping[Units, MaskedOutcome] | None = None,
) -> dict[str, dict[int, MaskingPoint]]:
    """Return accuracy and robust accuracy against the number of masked units, for several orders of the units.

    Every masked network is attacked anew: the attack sees that the units are masked. All are measured on the same
    images. A set of units that several orders mask (none at all, say) is measured once. An order with several rankings
    (random ones) gives the mean over them; its n stays the number of images, so that Wilson's interval, which is of
    the images alone, is if anything too wide for that mean, and says nothing of other rankings. With networks in
    :class:`~advscope.frozen.MicroBatched` every figure is the same for any batch size, order and number of processes.

    Args:
        masked: Returns the network with some units masked, for their numbers, ascending; run in evaluation mode.
        batches: Images in [0, 1] with labels, iterated over once for each set of units; in several processes each has
            its own share.
        orders: For each name one or several rankings of units; the first n of a ranking are masked.
        numbers: Numbers of masked units n, rising from 0.
        attack: Makes the adversarial images, of those that are predicted as their label.
        outcomes: What is known already, by masked units; what is measured is put in.

    Returns:
        For each order, and each number, the rates; ``nan`` without an image.

    Raises:
        ValueError: If ``numbers`` do not rise from 0 or exceed a ranking, an order has no ranking, or the images are
            not the same ones each time.
    """
    check_numbers(numbers)
    for name, rankings in orders.items():
        if not rankings or min(map(len, rankings)) < numbers[-1]:
            raise ValueError(
                f"order {name!r} must have rankings of at least {numbers[-1]} units, the highest of numbers, got "
                f"{[len(ranking) for ranking in rankings]}"
            )
    known: MutableMapping[Units, MaskedOutcome] = {} if outcomes is None else outcomes
    for units in masked_sets(orders, numbers):
        if units not in known:
            known[units] = masked_outcome(masked(units), batches, attack)
    base = known[()]
    device = next(masked(()).parameters(), base.clean).device
    points = [(name, number) for name in orders for number in numbers]
    counts = torch.stack([
        _counts(base, [known[_first(ranking, number)] for ranking in orders[name]]) for name, number in points
    ])  # fmt: skip
    curve: dict[str, dict[int, MaskingPoint]] = {name: {} for name in orders}
    for (name, number), row in zip(points, summed(counts.to(device)).tolist(), strict=True):
        curve[name][number] = _point(row, len(orders[name]))
    return curve


def masked_sets(orders: Mapping[str, Sequence[Sequence[int]]], numbers: Sequence[int]) -> list[Units]:
    """Return the different sets of units that orders mask, the empty one first, each ascending."""
    sets = [_first(ranking, number) for number in numbers for rankings in orders.values() for ranking in rankings]
    return list(dict.fromkeys([(), *sets]))


def masked_outcome(network: nn.Module, batches: Iterable[Batch], attack: AttackCall) -> MaskedOutcome:
    """Return what a network makes of images, clean and attacked; a clean image that it misses is not attacked.

    Raises:
        ValueError: If an image comes twice.
    """
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    before = _passes(network)
    columns = [(torch.zeros(0, dtype=torch.int64), *torch.zeros(2, 0, dtype=torch.bool))]
    with frozen(network):
        for batch in batches:
            known = batch.labels >= 0
            images, labels, indices = (field[known].to(device) for field in (batch.images, batch.labels, batch.indices))
            if not len(images):
                continue
            clean = _right(network, images, labels)
            robust = clean.clone()
            if clean.any():
                adversarials = attack(network, images[clean], labels[clean], indices=indices[clean])
                robust[clean] = _right(network, adversarials, labels[clean])
            columns.append((indices.cpu(), clean.cpu(), robust.cpu()))
    indices, clean, robust = (torch.cat(column) for column in zip(*columns, strict=True))
    if len(indices.unique()) < len(indices):
        raise ValueError("batches hold an image twice: give each image once")
    order = indices.argsort()
    forwards, backwards = (now - then for now, then in zip(_passes(network), before, strict=True))
    return MaskedOutcome(indices[order], clean[order], robust[order], forwards, backwards)


@torch.no_grad()
def _right(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return which images are predicted as their label, bool ``(N,)``."""
    right: Tensor = network(images).argmax(1) == labels
    return right


def _passes(network: nn.Module) -> tuple[int, int]:
    return (network.forwards, network.backwards) if isinstance(network, MicroBatched) else (0, 0)


def _first(ranking: Sequence[int], number: int) -> Units:
    return tuple(sorted(ranking[:number]))


def _counts(base: MaskedOutcome, found: Sequence[MaskedOutcome]) -> Tensor:
    """Return n, and for both rates the sums that they are made of, int64 ``(7,)``; they add up over processes."""
    if any(not torch.equal(each.indices, base.indices) for each in found):
        raise ValueError("batches must hold the same images each time that they are iterated over")
    counts = [torch.tensor(len(base.indices))]
    for alone, several in (
        (base.clean, [each.clean for each in found]),
        (base.robust, [each.robust for each in found]),
    ):
        times = torch.stack(several).sum(0)
        # Whole numbers, `len(found)` times the difference of an image: exact in any order.
        change = times - len(found) * alone.long()
        counts += [times.sum(), change.sum(), change.square().sum()]
    return torch.stack(counts)


def _point(counts: Sequence[int], rankings: int) -> MaskingPoint:
    """Return the rates that counts over all processes stand for."""
    n, clean, clean_change, clean_squares, robust, robust_change, robust_squares = counts
    return MaskingPoint(
        rate(clean / rankings, n),
        rate(robust / rankings, n),
        mean(clean_change / rankings, clean_squares / rankings**2, n),
        mean(robust_change / rankings, robust_squares / rankings**2, n),
    )
