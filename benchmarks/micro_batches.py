"""What micro-batches of one fixed size cost, which make float32 results independent of the batch.

    python -m benchmarks.micro_batches [--images 320] [--rounds 3] [--attack pgd] [--size 64] [--batches 50 64 100]

One question: how much slower is PGD-20, or C&W, whose images leave the batch one by one, on a ResNet-20 when the
network runs on padded micro-batches, for loaders' batches of several sizes? Both ways take turns; medians over the
rounds. Beside it: how many of the adversarial images differ from those of the first batch size, with micro-batches
(none) and without.
"""

import argparse
import json
import statistics
import time

import torch
from torch import Tensor, nn

from advscope.attacks import PGD, Attack, CarliniWagner
from advscope.frozen import MicroBatched
from advscope.networks import CIFARResNet

ATTACKS: dict[str, Attack] = {
    "pgd": PGD(8 / 255, 2 / 255, 20),
    "cw": CarliniWagner(steps=50, binary_search_steps=3, polish_steps=20),
}


def attacked(attack: Attack, network: nn.Module, images: Tensor, labels: Tensor, batch: int) -> tuple[Tensor, float]:
    """Return the adversarial images in batches of a size, and the seconds that they took."""
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
    parser.add_argument("--attack", choices=list(ATTACKS), default="pgd")
    parser.add_argument("--size", type=int, default=64, help="images in a micro-batch")
    parser.add_argument("--batches", type=int, nargs="+", default=[50, 64, 100, 128, 256], help="loaders' batches")
    arguments = parser.parse_args()
    attack, batches = ATTACKS[arguments.attack], arguments.batches
    torch.manual_seed(0)
    network = CIFARResNet(20).eval().to(memory_format=torch.channels_last)
    images = torch.rand(arguments.images, 3, 32, 32)
    labels = network(images).argmax(1)
    ways = {"plain": network, f"micro-batches of {arguments.size}": MicroBatched(network, arguments.size)}

    seconds: dict[tuple[str, int], list[float]] = {}
    results: dict[tuple[str, int], Tensor] = {}
    attacked(attack, network, images[:64], labels[:64], 64)
    for _ in range(arguments.rounds):
        for batch in batches:
            for name, way in ways.items():
                results[name, batch], taken = attacked(attack, way, images, labels, batch)
                seconds.setdefault((name, batch), []).append(taken)

    page = []
    for batch in batches:
        plain, micro = (statistics.median(seconds[name, batch]) for name in ways)
        differing = {
            name: int((results[name, batch] != results[name, batches[0]]).flatten(1).any(1).sum()) for name in ways
        }
        page.append({"batch": batch, "images_per_second_plain": round(arguments.images / plain, 1),
                     "images_per_second_micro": round(arguments.images / micro, 1), "cost": round(micro / plain, 3),
                     f"images_that_differ_from_batches_of_{batches[0]}": differing})  # fmt: skip
    print(json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__, "n": arguments.images,
                      "rounds": arguments.rounds, "rows": page}, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
