"""What the attack benchmark measures of the images that a way returned, and how it shows it."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advscope.intervals import Estimate, mean, rate
from advscope.measures import perturbation_size
from advscope.report.comparison_tables import show_number
from benchmarks.attack_peers import BETA, CELL, Way
from benchmarks.counted_network import CountedNetwork
from benchmarks.published_networks import Images

MARGIN_TOLERANCE, RANGE_TOLERANCE, ROUNDING = 1e-4, 1e-4, 1e-6
QUANTITIES = ("l0", "l1", "l2", "linf", "elastic", "group", "active_cells")


class Outcome(NamedTuple):
    """What one way made of ``N`` images.

    Attributes:
        success: Whether each image is one, on the target and far enough into it, bool ``(N,)``.
        sizes: By quantity the size of each perturbation, ``(N,)``.
        outside: Images with a pixel outside [0, 1] by more than rounding.
        forwards: Images that went forward, for each image.
        backwards: Images that gradients went back to, for each image.
        per_second: Images a second.
    """

    success: Tensor
    sizes: dict[str, Tensor]
    outside: int
    forwards: float
    backwards: float
    per_second: float


def run_way(way: Way, network: nn.Module, case: Images, confidence: float) -> Outcome:
    """Attack images in one batch, count and time it, and check what comes back on the plain network."""
    images, labels, targets = case
    counted = CountedNetwork(network)
    start = time.perf_counter()
    adversarials = way.attack(counted, images.clone(), labels, targets, confidence).detach()
    seconds = time.perf_counter() - start
    count = len(images)
    return Outcome(
        success=succeeded(network, adversarials, targets, confidence) & inside_range(adversarials, RANGE_TOLERANCE),
        sizes=sizes(images, adversarials),
        outside=count - int(inside_range(adversarials, ROUNDING).sum()),
        forwards=counted.forwards / count,
        backwards=counted.backwards / count,
        per_second=count / seconds,
    )


@torch.no_grad()
def succeeded(network: nn.Module, adversarials: Tensor, targets: Tensor, confidence: float) -> Tensor:
    """Return whether each image is predicted as its target, by the margin that was asked for; bool ``(N,)``."""
    logits = network(adversarials)
    wanted = targets[:, None]
    margin = (logits.gather(1, wanted) - logits.scatter(1, wanted, -torch.inf).amax(1, keepdim=True)).squeeze(1)
    return (margin > 0) & (margin >= confidence - MARGIN_TOLERANCE)


def inside_range(adversarials: Tensor, tolerance: float) -> Tensor:
    """Return whether all pixels of each image are in [0, 1], to a tolerance; bool ``(N,)``."""
    pixels = adversarials.flatten(1)
    return (pixels.amin(1) >= -tolerance) & (pixels.amax(1) <= 1 + tolerance)


def sizes(images: Tensor, adversarials: Tensor) -> dict[str, Tensor]:
    """Return the sizes of perturbations: those of the library, and the elastic net's value l2^2 + beta l1."""
    found = perturbation_size(images, adversarials, cell_size=CELL)._asdict()
    return found | {"elastic": found["l2"].square() + BETA * found["l1"]}


def common(outcomes: Mapping[str, Outcome]) -> tuple[Tensor, list[str]]:
    """Return the images on which every way succeeded, bool ``(N,)``, and the ways that are asked.

    A way that succeeds on fewer than half of the images is not asked: it would leave nothing to compare the others on.
    """
    asked = [name for name, outcome in outcomes.items() if 2 * int(outcome.success.sum()) >= len(outcome.success)]
    every = torch.stack([outcome.success for outcome in outcomes.values()])
    chosen = torch.tensor([name in asked for name in outcomes])
    # Of no way all succeeded on every image, which is not what is meant.
    return every[chosen].all(0) & bool(asked), asked


def to_markdown(title: str, outcomes: Mapping[str, Outcome], notes: Sequence[str]) -> str:
    """Return the tables of one family of attacks: over each way's successes, and over the common ones."""
    every, asked = common(outcomes)
    head = ["way", "success", *QUANTITIES, "forwards", "backwards", "images/s"]
    own = [
        [name, show(rate(int(outcome.success.sum()), len(outcome.success)))]
        + [show(_mean(outcome.sizes[quantity], outcome.success)) for quantity in QUANTITIES]
        + [f"{outcome.forwards:.0f}", f"{outcome.backwards:.0f}", show_number(outcome.per_second)]
        for name, outcome in outcomes.items()
    ]
    shared = [
        [name, *(show(_mean(outcomes[name].sizes[quantity], every)) for quantity in QUANTITIES)] for name in asked
    ]
    lines = [f"### {title}", "", "Over the images that each way succeeded on:", "", *_table(head, own), ""]
    lines += [
        f"- {name}: images outside [0, 1] by more than 1e-6: {outcome.outside}"
        for name, outcome in outcomes.items()
        if outcome.outside
    ]
    lines += [*(f"- {note}" for note in notes), ""]
    lines += [f"Over the {int(every.sum())} images that all of these succeeded on:", ""]
    lines += [*_table(["way", *QUANTITIES], shared), ""]
    first, *others = outcomes
    paired = [
        [name, *(show(ratio(outcomes[name], outcomes[first], quantity)) for quantity in QUANTITIES)] for name in others
    ]
    if paired:
        lines += [f"Image by image over {first}, where both succeeded: the geometric mean of the ratios:", ""]
        lines += [*_table(["way", *QUANTITIES], paired), ""]
    return "\n".join(lines)


def ratio(outcome: Outcome, reference: Outcome, quantity: str) -> Estimate:
    """Return the geometric mean of the ratios of a size, over the images on which both succeeded with some change."""
    sizes, references = outcome.sizes[quantity].double(), reference.sizes[quantity].double()
    chosen = outcome.success & reference.success & (sizes > 0) & (references > 0)
    logarithms = _mean((sizes / references).log(), chosen)
    value, low, high = (math.exp(part) for part in logarithms[:3])
    return Estimate(value, low, high, logarithms.n, len(chosen) - logarithms.n)


def show(estimate: Estimate) -> str:
    """Return a figure with its interval."""
    return f"{show_number(estimate.value)} [{show_number(estimate.low)}, {show_number(estimate.high)}]"


def _mean(values: Tensor, chosen: Tensor) -> Estimate:
    """Return the mean of the chosen values."""
    kept = values[chosen]
    return mean(float(kept.sum()), float(kept.square().sum()), len(kept))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (head, ruler, *rows)]
