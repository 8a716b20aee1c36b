"""Attacks against those of torchattacks, foolbox and adv-lib: how small, how sure, how many passes, how fast?

    make benchmarks-setup  # the peers
    python -m benchmarks.attacks [--networks resnet20 resnet56] [--images 64] [--confidence 0 1]
        [--attacks cw ead str minimum] [--shared FOLDER] [--markdown FILE]

One question: of attacks with the same number of steps, which finds the smaller perturbations, and on how many images?
Published networks, the first exact CIFAR-10 test images that the network classifies rightly, a random target for each;
all ways get the same images in one batch, on the same network, in channels_last. The settings and the peers' faults are
in :mod:`benchmarks.attack_peers`: 9 x 200 steps for C&W and the elastic net (beta = 0.01), 4 x 200 for StrAttack (cells
of 2 x 2), 1,800 for the minimum-norm references. Passes are counted around every way, since some stop early and some
evaluate more than once in a step.

A success is an image in [0, 1] (to 1e-4) that the plain network predicts as the target, by a margin of the confidence
at least (less 1e-4); what the attack says of itself is not asked. Shares have Wilson's interval, means mean +- 1.96 s /
sqrt(n): over the images that each way succeeded on, and over those on which all did (ways that fail on more than half
are not asked). Images a second are wall time of one run, and depend on what else the machine does. One thread on an
otherwise idle core takes some five minutes for 64 images of ResNet-20 and 1,800 steps.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from advscope.attacks import PGD, Attack, CarliniWagner, ElasticNet, Structured
from benchmarks.attack_figures import Outcome, run_way, to_markdown
from benchmarks.attack_peers import PEERS, REQUIRED, Way
from benchmarks.published_networks import WEIGHTS, Images, published_network, right_images
from benchmarks.turns import machine

SHARED = Path(__file__).resolve().parents[2] / "shared"


def ours(make: Callable[[float], Attack], confidence: bool = True) -> Way:
    """Return the way of an attack of the library, made for each confidence."""

    def attack(network: nn.Module, images: Tensor, labels: Tensor, targets: Tensor, kappa: float) -> Tensor:
        return make(kappa)(network, images, labels, targets=targets)

    return Way(attack, confidence)


OURS: dict[str, dict[str, Way]] = {
    "cw": {
        "advscope CarliniWagner": ours(lambda kappa: CarliniWagner(200, 9, kappa)),
        "advscope CarliniWagner, 3 x 100": ours(lambda kappa: CarliniWagner(100, 3, kappa, polish_steps=50)),
    },
    "ead": {
        "advscope ElasticNet": ours(lambda kappa: ElasticNet(200, 9, kappa, beta=0.01)),
        "advscope ElasticNet, published": ours(lambda kappa: ElasticNet(200, 9, kappa, 0.01, shrinkage="published")),
        "advscope ElasticNet, published, 3 x 50": ours(
            lambda kappa: ElasticNet(50, 3, kappa, 0.01, shrinkage="published", polish_steps=50)
        ),
    },
    "str": {
        "advscope Structured": ours(lambda kappa: Structured(200, 4, kappa, cell_size=2)),
        "advscope Structured, 3 x 50": ours(lambda kappa: Structured(50, 3, kappa, cell_size=2, polish_steps=50)),
    },
    "minimum": {
        "advscope CarliniWagner": ours(lambda kappa: CarliniWagner(200, 9, kappa)),
        "advscope ElasticNet": ours(lambda kappa: ElasticNet(200, 9, kappa, beta=0.01)),
        "advscope Structured": ours(lambda kappa: Structured(200, 4, kappa, cell_size=2)),
    },
    "pgd": {"advscope PGD, 8/255": ours(lambda _: PGD(8 / 255, 2 / 255, 20), confidence=False)},
}
"""The library's ways, by family and name; each family's stand before the peers'."""


def run_family(
    ways: dict[str, Way], network: nn.Module, case: Images, confidence: float
) -> tuple[dict[str, Outcome], list[str]]:
    """Run every way; return the outcomes, and a note for each way that has no say in the confidence."""
    outcomes, notes = {}, []
    for name, way in ways.items():
        if confidence and not way.confidence:
            notes.append(f"{name} has no confidence: not run")
            continue
        start = time.perf_counter()
        outcomes[name] = run_way(way, network, case, confidence)
        successes = int(outcomes[name].success.sum())
        seconds = time.perf_counter() - start
        print(f"{name}: {successes} of {len(case.images)} in {seconds:.0f} s", file=sys.stderr, flush=True)
    return outcomes, notes


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the settings; end in one line where something that they need is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(WEIGHTS), choices=list(WEIGHTS), help="by name")
    parser.add_argument("--images", type=int, default=64, help="images in the batch")
    parser.add_argument("--confidence", type=float, nargs="+", default=[0.0, 1.0], help="margins to ask for, in turn")
    parser.add_argument("--attacks", nargs="+", default=list(PEERS), choices=list(OURS), help="families of attacks")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="run the ways alone whose name holds one of these texts"
    )
    parser.add_argument(
        "--without", nargs="+", default=[], help="leave out the ways whose name holds one of these texts"
    )
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with data/models and data/cifar10")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    settings = parser.parse_args(arguments)
    if settings.images < 1 or min(settings.confidence) < 0:
        parser.error(f"--images must be positive and --confidence not negative, got {settings.images} and "
                     f"{settings.confidence}")  # fmt: skip
    if not (settings.shared / "data").is_dir():
        parser.error(
            f"--shared {settings.shared}: there is no folder data in it; name the one with models and CIFAR-10"
        )
    settings.ways = {
        family: {
            name: way
            for name, way in (OURS[family] | PEERS.get(family, {})).items()
            if any(text in name for text in settings.only) and not any(text in name for text in settings.without)
        }
        for family in settings.attacks
    }
    if not any(settings.ways.values()):
        parser.error(f"--only {' '.join(settings.only)}: no way of {', '.join(settings.attacks)} is named so")
    peers = any(name in PEERS.get(family, {}) for family, ways in settings.ways.items() for name in ways)
    missing = [module for module in REQUIRED if peers and importlib.util.find_spec(module) is None]
    if missing:
        parser.error(f"{', '.join(missing)} not installed: run `make benchmarks-setup`, or `--only advscope`")
    return settings


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and print its tables."""
    settings = parse(arguments)
    sections = [", ".join(f"{name} {value}" for name, value in machine().items()) + "\n"]
    for network_name in settings.networks:
        network = published_network(network_name, settings.shared)
        case = right_images(network, settings.shared, settings.images)
        for confidence in settings.confidence:
            for family, ways in settings.ways.items():
                title = f"{network_name}, {family}, confidence {confidence:g}, {settings.images} images"
                outcomes, notes = run_family(ways, network, case, confidence)
                if not outcomes:
                    continue
                sections.append(to_markdown(title, outcomes, notes))
                print(sections[-1], flush=True)
                if settings.markdown:
                    # After every family: a run of an hour that breaks off leaves what it had.
                    settings.markdown.write_text("\n".join(sections))


if __name__ == "__main__":
    main()
