"""Network dissection: its speed beside the plain procedure's, its memory, and what processes and units make of it.

    python -m benchmarks.dissection [--part tally end_to_end memory processes units] [--images 24] [--rounds 3] ...

Five questions, each of them a part of the page, on one thread each:

tally       How many images a second do thresholds and tally take, given the activations? Ours streams them twice for
            the thresholds and once for the tally, without the tally of chance; the plain procedure
            (benchmarks/plain_dissection.py) has them in memory as float64. Both take turns, and they are compared.
            Thresholds are taken of the images again and again, until the plain procedure's buffer has been full twice:
            on fewer it would have nothing to sort, and ours would hardly do more than clear its counters. Our tally is
            of the images again and again, too, at least 192 of them: what it clears at the start is for all of Broden.
end_to_end  How many images a second go through a dissection, network and attack (PGD-10) included, for one layer and
            for five? The plain procedure runs the network for one layer after another; it makes the attack's images
            once and keeps them, and counts no flips.
memory      How much does the peak exceed that of the network's forward passes over the same batches, of n and of 4 n
            images? Cases are processes of their own.
processes   How much faster are two processes of one thread each than one, and are their tables equal?
units       What does a unit cost, for 256 to 2048 of them?
"""

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from advscope.measures import ConceptTable, ConceptTally, TopQuantile, mask_counter
from benchmarks.dissection_inputs import Activations, layer_activations
from benchmarks.dissection_memory import growth
from benchmarks.dissection_processes import scaling
from benchmarks.dissection_runs import end_to_end
from benchmarks.plain_dissection import RESOLUTION, Floats, PlainTally, categories_of, plain_tally, plain_thresholds
from benchmarks.turns import machine, per_second, show, take_turns

SHAPES = ((2048, 7), (1024, 14), (512, 28), (256, 56), (64, 8))
"""Units, and side of their maps."""

BATCH = 16
"""Images at once, as in a network's micro-batch."""

TALLIED = 192
"""Images that our tally goes through at least."""


def our_thresholds(parts: Sequence[Tensor], quantile: float) -> Tensor:
    """Return every unit's threshold, of two passes over activations ``(N, K, h, w)``."""
    found = TopQuantile(parts[0].shape[1], quantile)
    for maps in parts:
        found.count(maps.transpose(0, 1).flatten(1))
    found.locate()
    for maps in parts:
        found.count(maps.transpose(0, 1).flatten(1))
    return found.thresholds()


def our_tally(given: Activations, thresholds: Tensor, times: int = 1) -> ConceptTally:
    """Return what masks share with concepts, of the images so many times."""
    units, source, size = given.maps.shape[1], given.maps.shape[2:], given.labels.shape[2:]
    table = ConceptTable(given.concepts)
    tally = ConceptTally(units, table, given.labels[:, 0].numel())
    counter = mask_counter(units, (source[0], source[1]), (size[0], size[1]))
    parts = zip(given.maps.split(BATCH), given.labels.split(BATCH), given.whole.split(BATCH), strict=True)
    for maps, labels, whole in list(parts) * times:
        images = table.of_images(labels, whole)
        for found, image in zip(
            counter.count([maps], thresholds, [each.pixels for each in images]), images, strict=True
        ):
            tally.count(found.masks[0], image, 0)
    return tally


class Plain:
    """The activations as the plain procedure has them.

    Args:
        given: Activations and annotation.
    """

    def __init__(self, given: Activations) -> None:
        self.maps = given.maps.double().contiguous().numpy()
        self.labels = given.labels.long().numpy()
        self.whole = given.whole.long().numpy()
        self.categories = categories_of(given.concepts)

    def tally(self, thresholds: Floats) -> PlainTally:
        """Return what masks share with labels."""
        return plain_tally(self.maps, thresholds, self.labels, self.whole, self.categories)


def differences(given: Activations, limits: Tensor, peers_limits: Floats, quantile: float) -> dict[str, Any]:
    """Return how far the two ways are from one another: thresholds, and counts of masks above our thresholds."""
    theirs = torch.from_numpy(peers_limits)
    above = (given.maps.transpose(0, 1).flatten(1) > theirs[:, None]).double().mean(1)
    tally, peer = our_tally(given, limits), Plain(given).tally(limits.double().numpy())
    numbers = torch.tensor([concept.number for concept in given.concepts])
    areas, met, labels = (
        (first.sum(0) - torch.from_numpy(second)).abs()
        for first, second in (
            (tally.unit_areas, peer.areas),
            (tally.intersections, peer.met[:, numbers]),
            (tally.concept_areas, peer.label_areas[numbers]),
        )
    )
    return {
        "thresholds_that_differ": int((limits.double() != theirs).sum()),
        "largest_share_above_their_threshold_less_quantile": round(float((above - quantile).max()), 6),
        "units_with_masks": int((tally.unit_areas.sum(0) > 0).sum()),
        "share_of_maps_above_threshold": round(float((given.maps.amax((2, 3)) > limits).double().mean()), 3),
        "mask_pixels": int(tally.unit_areas.sum()),
        "mask_pixels_that_differ": int(areas.sum()),
        "units_whose_area_differs": int((areas > 0).sum()),
        "largest_difference_of_an_area": int(areas.max()),
        "largest_difference_of_an_intersection": int(met.max()),
        "largest_difference_of_a_concept": int(labels.max()),
    }


def tally(shapes: Sequence[tuple[int, int]], quantiles: Sequence[float], images: int, rounds: int) -> dict[str, Any]:
    """Return images a second of both ways for each shape and quantile, and how they differ."""
    page: dict[str, Any] = {}
    for units, side in shapes:
        given = layer_activations(units, side, images)
        plain, parts = Plain(given), given.maps.split(BATCH)
        again, times = repeats(given), -(-TALLIED // images)
        stored = [maps.double().contiguous().numpy() for maps in parts] * again
        for quantile in quantiles:
            limits, peers_limits = our_thresholds(parts * again, quantile), plain_thresholds(stored, quantile)
            ways: dict[str, Callable[[], Any]] = {
                "thresholds": lambda: our_thresholds(parts * again, quantile),  # noqa: B023
                "thresholds, plain": lambda: plain_thresholds(stored, quantile),  # noqa: B023
                "tally": lambda: our_tally(given, limits, times),  # noqa: B023
                "tally, plain": lambda: plain.tally(peers_limits),  # noqa: B023
            }
            seconds = take_turns(ways, rounds)
            seconds["tally"] = [each / times for each in seconds["tally"]]
            for ending in ("", ", plain"):
                seconds[f"thresholds{ending}"] = [each / again for each in seconds[f"thresholds{ending}"]]
                both = seconds[f"thresholds{ending}"], seconds[f"tally{ending}"]
                seconds[f"both{ending}"] = [sum(pair) for pair in zip(*both, strict=True)]
            speeds = per_second(seconds, len(given.maps))
            page[f"{units} units, {side} x {side}, top {quantile:g}"] = {
                "source": given.source,
                "images": len(given.maps),
                "images_for_thresholds": again * len(given.maps),
                "images_per_second": speeds,
                "times_as_fast": {
                    name: round(speeds[name]["median"] / speeds[f"{name}, plain"]["median"], 1)
                    for name in ("thresholds", "tally", "both")
                },
                "agreement": differences(given, limits, peers_limits, quantile),
            }
    return page


def units(numbers: Sequence[int], images: int, rounds: int, quantile: float = 0.05) -> dict[str, Any]:
    """Return the milliseconds per image of thresholds and tally for so many units of 7 x 7."""
    given = layer_activations(max(numbers), 7, images)
    again = repeats(given)
    fewer = {
        number: given._replace(maps=given.maps[:, :number].contiguous(memory_format=torch.channels_last))
        for number in numbers
    }
    limits = our_thresholds(given.maps.split(BATCH), quantile)
    ways: dict[str, Callable[[], Any]] = {}
    for number, chosen in fewer.items():
        ways[f"thresholds of {number}"] = lambda chosen=chosen: our_thresholds(
            chosen.maps.split(BATCH) * again, quantile
        )
        ways[f"tally of {number}"] = lambda chosen=chosen, number=number: our_tally(chosen, limits[:number])
    seconds = take_turns(ways, rounds)
    page = {}
    for number in numbers:
        parts = median(seconds[f"thresholds of {number}"]) / again, median(seconds[f"tally of {number}"])
        thresholds, tally = (1e3 * part / len(given.maps) for part in parts)
        page[str(number)] = {
            "ms_per_image": {"thresholds": round(thresholds, 3), "tally": round(tally, 3)},
            "us_per_image_and_unit": round(1e3 * (thresholds + tally) / number, 3),
        }
    return {"source": given.source, "images": len(given.maps), "units": page}


def repeats(given: Activations) -> int:
    """Return how often to go through activations, so that the plain procedure's buffer is full twice."""
    return -(-2 * RESOLUTION // (len(given.maps) * given.maps[0, 0].numel()))


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["tally", "end_to_end", "memory", "processes", "units"]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument("--images", type=int, default=24, help="of tally, units and end_to_end without attack")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--shapes", nargs="+", default=[f"{units}x{side}" for units, side in SHAPES], metavar="KxH")
    parser.add_argument("--quantiles", nargs="+", type=float, default=[0.05, 0.005])
    parser.add_argument("--attacked", type=int, default=8, help="images of end_to_end with PGD-10")
    parser.add_argument("--memory", type=int, default=16, help="n of the part memory")
    parser.add_argument("--shared", type=int, default=96, help="images of the part processes")
    parser.add_argument("--units", nargs="+", type=int, default=[256, 512, 1024, 2048])
    given = parser.parse_args()
    torch.set_num_threads(1)
    shapes = [(int(units), int(side)) for units, side in (shape.split("x") for shape in given.shapes)]
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "tally": lambda: tally(shapes, given.quantiles, given.images, given.rounds),
        "end_to_end": lambda: end_to_end(given.images, given.attacked, given.rounds),
        "memory": lambda: growth(given.memory),
        "processes": lambda: scaling(given.shared, given.rounds),
        "units": lambda: units(given.units, given.images, given.rounds),
    }
    show({"machine": machine(), "settings": vars(given), **{part: runs[part]() for part in given.part}})


if __name__ == "__main__":
    main()
