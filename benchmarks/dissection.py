"""Network dissection: images a second, and that memory does not grow with the number of images.

    python -m benchmarks.dissection [--images 250] [--layers layer3.0 layer3.1 layer3.2]

One question: how many images a second go through the three passes of a dissection (PGD-10 in the third), and how much
memory does it take at its peak, for n and for 4 n images? Each case runs in a process of its own, so that the peak is
its own; the images are rendered in batches as they are asked for, and none is kept.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.measures import dissect
from advscope.networks import CIFARResNet
from benchmarks.turns import machine, show
from datamodules.rendering import CONCEPTS, render

BATCH = 50


class Rendered:
    """ConceptShapes pictures, rendered batch by batch each time.

    Args:
        images: Number of pictures.
    """

    def __init__(self, images: int) -> None:
        self.images = images

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        for first in range(0, self.images, BATCH):
            indices = np.arange(first, min(first + BATCH, self.images))
            made = render(0, indices, 32, 4.0)
            yield Batch(
                torch.from_numpy(made.images).float().div(255),
                torch.from_numpy(made.labels),
                torch.from_numpy(indices),
                torch.from_numpy(made.concepts),
                torch.from_numpy(made.image_concepts),
            )


def measure(images: int, layers: list[str] | None) -> tuple[float, float]:
    """Return the seconds and the peak memory in MiB of a dissection."""
    network = MicroBatched(CIFARResNet(20).eval().to(memory_format=torch.channels_last), BATCH)
    attack = PGD(4 / 255, 1 / 255, 10)
    list(Rendered(BATCH))
    start = time.perf_counter()
    dissect(network, Rendered(images), CONCEPTS, layers, attack)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=250, help="n")
    parser.add_argument("--layers", nargs="*", help="layers to dissect (default: every block)")
    parser.add_argument("--once", action="store_true", help="measure one case in this process")
    arguments = parser.parse_args()
    if arguments.once:
        print(*measure(arguments.images, arguments.layers))
        return
    cases = []
    for images in (arguments.images, 4 * arguments.images):
        command = [sys.executable, "-m", "benchmarks.dissection", "--once", "--images", str(images)]
        command += ["--layers", *arguments.layers] if arguments.layers else []
        seconds, peak = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        cases.append({"images": images, "images_per_second": round(images / seconds, 1), "peak_mib": round(peak)})
    growth = round(cases[1]["peak_mib"] / cases[0]["peak_mib"], 3)
    show({"machine": machine(), "network": "ResNet-20", "cases": cases, "peak_at_4n_over_peak_at_n": growth})


if __name__ == "__main__":
    main()
