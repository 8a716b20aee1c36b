"""Whole dissections, network and attack included, beside those of the plain procedure."""

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.layers import activations
from advscope.measures import Dissection, DissectionSettings, dissect
from benchmarks.dissection_inputs import Annotated, photographs, rendered
from benchmarks.plain_dissection import PlainTally, categories_of, plain_tally, plain_thresholds
from benchmarks.turns import per_second, take_turns

BATCH = 8
"""Images in a batch and in a micro-batch."""

SETTINGS = DissectionSettings(chance=False)
"""Without the tally of chance, which the plain procedure does not have."""


def attack() -> PGD:
    """Return PGD-10 of eps 4/255."""
    return PGD(4 / 255, 1 / 255, 10)


class Passes:
    """Batches that note when they were gone through last.

    Args:
        batches: The batches.
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches
        self.ended = time.perf_counter()

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        yield from self.batches
        self.ended = time.perf_counter()


def ours(given: Annotated, layers: Sequence[str], attacked: bool) -> tuple[Dissection, float]:
    """Return a dissection of the layers, all in one run, and the seconds from the last image to the result.

    These are the same for any number of images: intervals, significance, correlations, which the plain procedure does
    not have.
    """
    passes = Passes(given.batches(BATCH))
    # No larger than there are images: padding would be counted as work.
    network = MicroBatched(given.network, min(BATCH, len(given.batch.images)))
    made = attack() if attacked else None
    found = dissect(network, passes, layers, concepts=given.concepts, attack=made, settings=SETTINGS)
    return found, time.perf_counter() - passes.ended


def plain(given: Annotated, layers: Sequence[str], attacked: bool) -> dict[str, list[PlainTally]]:
    """Return the plain procedure's tallies of the layers, one after another: of clean and of adversarial images."""
    network, categories = given.network, categories_of(given.concepts)
    assert given.batch.concepts is not None
    assert given.batch.image_concepts is not None
    labels, whole = given.batch.concepts.long().numpy(), given.batch.image_concepts.long().numpy()
    kinds = [[batch.images for batch in given.batches(BATCH)]]
    if attacked:
        kinds.append(
            [attack()(network, batch.images, batch.labels, indices=batch.indices) for batch in given.batches(BATCH)]
        )
    found = {}
    for layer in layers:
        with torch.no_grad():
            stored = [_stored(network, images, layer) for images in kinds]
        thresholds = plain_thresholds([stored[0]], SETTINGS.quantile)
        found[layer] = [plain_tally(maps, thresholds, labels, whole, categories) for maps in stored]
    return found


def _stored(network: torch.nn.Module, batches: Sequence[Tensor], layer: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a layer's activations on all images, as the plain procedure keeps them."""
    return np.concatenate([activations(network, images, [layer])[0][layer].double().numpy() for images in batches])


def end_to_end(images: int, attacked: int, rounds: int) -> dict[str, Any]:
    """Return images a second of whole dissections, for one layer and for five, without and with an attack.

    Args:
        images: Images without an attack.
        attacked: Images with it.
        rounds: Turns of each way without attack; with it there is one, and none that warms up.
    """
    page: dict[str, Any] = {}
    for with_attack, count in ((False, images), (True, attacked)):
        given = photographs(count) or rendered(count)
        for layers in (given.layers[-1:], given.layers):
            endings: list[float] = []
            ways: dict[str, Callable[[], Any]] = {
                "ours": lambda: endings.append(ours(given, layers, with_attack)[1]),  # noqa: B023
                "plain": lambda: plain(given, layers, with_attack),  # noqa: B023
            }
            seconds = take_turns(ways, 1 if with_attack else rounds, warm_up=not with_attack)
            last = endings[-len(seconds["ours"]) :]  # without that of the round that warms up
            seconds["ours, passes"] = [whole - end for whole, end in zip(seconds["ours"], last, strict=True)]
            speeds = per_second(seconds, len(given.batch.images), 2)
            name = f"{len(layers)} layers, {'PGD-10' if with_attack else 'no attack'}"
            page[name] = {
                "network": given.name,
                "layers": layers,
                "n": len(given.batch.images),
                "images_per_second": speeds,
                "seconds_after_the_last_image": round(median(last), 2),
                "times_as_fast": {
                    way: round(speeds[way]["median"] / speeds["plain"]["median"], 2) for way in ("ours", "ours, passes")
                },
            }
    return page
