"""What micro-batches of one fixed size cost, which make float32 results independent of the batch.

    python -m benchmarks.micro_batches [--images 320] [--rounds 3]

One question: how much slower is PGD-20 on a ResNet-20 when the network runs on padded micro-batches of 64 images, for
loaders' batches of several sizes? Both ways take turns; medians over the rounds. Beside it: how many of the adversarial
images differ from those of another batch size, with micro-batches (none) and without.
"""

import argparse
import json
import statistics
import time

import torch
from torch import Tensor, nn

from advscope.attacks import PGD
from advscope.frozen import MicroBatched
from advscope.networks import CIFARResNet

MICRO_BATCH = 64
BATCHES = (50, 64, 100, 128, 256)


def attacked(network: nn.Module, images: Tensor, labels: Tensor, batch: int) -> tuple[Tensor, float]:
    """Return the adversarial images of PGD-20 in batches of a size, and the seconds that it took."""
    attack = PGD(8 / 255, 2 / 255, 20)
    start = time.perf_counter()
    results = [
        attack(network, images[first : first + batch], labels[first : first + batch],
               indices=torch.arange(first, min(first + batch, len(images))))
        for first in range(0, len(images), batch)
    ]  # fmt: skip
    return torch.cat(results), time.perf_counter() - start


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=320, help="images attacked in each turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of both ways")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    network = CIFARResNet(20).eval().to(memory_format=torch.channels_last)
    images = torch.rand(arguments.images, 3, 32, 32)
    labels = network(images).argmax(1)
    ways = {"plain": network, f"micro-batches of {MICRO_BATCH}": MicroBatched(network, MICRO_BATCH)}

    seconds: dict[tuple[str, int], list[float]] = {}
    results: dict[tuple[str, int], Tensor] = {}
    attacked(network, images[:64], labels[:64], 64)
    for _ in range(arguments.rounds):
        for batch in BATCHES:
            for name, way in ways.items():
                results[name, batch], taken = attacked(way, images, labels, batch)
                seconds.setdefault((name, batch), []).append(taken)

    page = []
    for batch in BATCHES:
        plain, micro = (statistics.median(seconds[name, batch]) for name in ways)
        differing = {
            name: int((results[name, batch] != results[name, BATCHES[0]]).flatten(1).any(1).sum()) for name in ways
        }
        page.append({"batch": batch, "images_per_second_plain": round(arguments.images / plain, 1),
                     "images_per_second_micro": round(arguments.images / micro, 1), "cost": round(micro / plain, 3),
                     "images_that_differ_from_batches_of_50": differing})  # fmt: skip
    print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__, "n": arguments.images,
                      "rounds": arguments.rounds, "rows": page}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
