"""What each monitor costs: milliseconds an attacked image, beside the attack itself.

    python -m benchmarks.monitors [--images 256] [--rounds 5]

One question: how long does each measure take for an image at 32 x 32 on a ResNet-20, at the settings of the standard
evaluation, beside PGD-20 (20 forward and backward passes)? The measures take turns on the same attacked images and are
run as their monitors run them, on micro-batches of 64; the figures are medians.
"""

import argparse
import statistics

import torch

from advscope.attacks import PGD
from advscope.batch import AttackedBatch
from advscope.frozen import MicroBatched
from advscope.networks import CIFARResNet
from benchmarks.turns import machine, show, take_turns
from callbacks import (
    ActivationBiasMonitor,
    InterpretabilityMonitor,
    PerturbationSizeMonitor,
    PromotionSuppressionMonitor,
)


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="images in the batch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every measure")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    network = MicroBatched(CIFARResNet(20).eval().to(memory_format=torch.channels_last))
    images = torch.rand(arguments.images, 3, 32, 32)
    attack = PGD(8 / 255, 2 / 255, 20)
    with torch.no_grad():
        logits = network(images)
    labels = logits.argmax(1)
    adversarials = attack(network, images, labels)
    with torch.no_grad():
        attacked_logits = network(adversarials)
    counts = torch.ones(len(images), dtype=torch.bool)
    # Targets differ from labels, whether or not the attack succeeded: the cost is the same.
    targets = attacked_logits.scatter(1, labels[:, None], -torch.inf).argmax(1)
    batch = AttackedBatch(
        images, adversarials, torch.arange(len(images)), labels, targets, logits, attacked_logits, counts, counts
    )
    monitors = (
        PromotionSuppressionMonitor(),
        InterpretabilityMonitor(),
        ActivationBiasMonitor(),
        PerturbationSizeMonitor(),
    )
    ways = {type(one).__name__: lambda one=one: one.measure_batch(network, batch) for one in monitors}
    ways = {"PGD-20 (for comparison)": lambda: attack(network, images, labels), **ways}
    seconds = take_turns(ways, arguments.rounds)
    show({
        "machine": machine(), "images": arguments.images, "rounds": arguments.rounds,
        "milliseconds_per_image": {
            name: round(1000 * statistics.median(times) / arguments.images, 2) for name, times in seconds.items()
        },
    })  # fmt: skip


if __name__ == "__main__":
    main()
