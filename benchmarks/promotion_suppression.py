"""PSR against Captum's FeatureAblation: images a second, for the same numbers.

    python -m benchmarks.promotion_suppression [--images 32 128] [--rounds 3]

One question: how fast are d0 and dt of every 4 x 4 cell of 32 x 32 images on a ResNet-20, where every cell is
perturbed, and where 60% of the cells are not (a sparse attack)? The peer is Captum in its fastest form: ablations per
evaluation in {1, 4, 16}, in two calls (one a class) or in one call whose forward returns both classes. It runs the
network on as many images at once as it is given (times the ablations), so its speed depends on the batch, and both a
small and a large one are measured. All ways take turns on the same network (in channels_last, the faster memory format
for either) and images; the figures are medians. That they give the same numbers is checked first.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial

import torch
from captum.attr import FeatureAblation
from torch import Tensor, nn

from advscope.measures import promotion_suppression
from advscope.networks import CIFARResNet
from benchmarks.turns import machine, per_second, show, take_turns

SIZE, CELL = 32, 4
EVALUATIONS = (1, 4, 16)
UNPERTURBED = 0.6
FLOOR = 1e-6


def ours(network: nn.Module, images: Tensor, adversarials: Tensor, classes: Tensor) -> Tensor:
    """Return d0 and dt of every cell, ``(N, m, 2)``."""
    effects = promotion_suppression(network, images, adversarials, *classes.unbind(1), cell_size=CELL, floor=FLOOR)
    return torch.stack([effects.suppression, effects.promotion], dim=2)


def captum_two_calls(
    network: nn.Module, images: Tensor, adversarials: Tensor, classes: Tensor, *, mask: Tensor, at_once: int
) -> Tensor:
    """Return the same by one call of Captum for each class."""
    ablation = FeatureAblation(network)
    both = [
        ablation.attribute(adversarials, images, wanted, feature_mask=mask, perturbations_per_eval=at_once)
        for wanted in classes.unbind(1)
    ]
    return at_cells(-both[0], both[1])


def captum_one_call(
    network: nn.Module, images: Tensor, adversarials: Tensor, classes: Tensor, *, mask: Tensor
) -> Tensor:
    """Return the same by one call for both classes, which Captum allows with one ablation per evaluation."""
    ablation = FeatureAblation(lambda batch: network(batch).gather(1, classes).flatten())
    found = ablation.attribute(adversarials, images, feature_mask=mask).unflatten(0, (-1, 2))
    return at_cells(-found[:, 0], found[:, 1])


def at_cells(suppression: Tensor, promotion: Tensor) -> Tensor:
    """Return what stands at each cell's first pixel, not below the floor, ``(N, m, 2)``."""
    corners = [part[:, 0, ::CELL, ::CELL].flatten(1).double() for part in (suppression, promotion)]
    return torch.stack(corners, dim=2).clamp(min=FLOOR)


def ways_to(network: nn.Module, images: Tensor, adversarials: Tensor, mask: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return every way to the effects of all cells, after a check that they agree."""
    labels, targets = network(adversarials).topk(2).indices.flip(1).unbind(1)
    given = (network, images, adversarials, torch.stack([labels, targets], dim=1))
    ways: dict[str, Callable[[], Tensor]] = {"advscope": partial(ours, *given)}
    ways["captum, one call, 1 at once"] = partial(captum_one_call, *given, mask=mask)
    for at_once in EVALUATIONS:
        ways[f"captum, two calls, {at_once} at once"] = partial(captum_two_calls, *given, mask=mask, at_once=at_once)
    wanted = ways["advscope"]()
    for name, way in ways.items():
        torch.testing.assert_close(way(), wanted, rtol=1e-3, atol=1e-5, msg=name)
    return ways


@torch.no_grad()
def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[32, 128], help="images in a batch, several in turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every way")
    arguments = parser.parse_args()
    side = SIZE // CELL
    mask = torch.arange(side**2).view(1, 1, side, side).repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
    network = CIFARResNet(20).eval().to(memory_format=torch.channels_last)
    figures = []
    for count in arguments.images:
        torch.manual_seed(0)
        images = torch.rand(count, 3, SIZE, SIZE)
        dense = (images + 8 / 255 * torch.randn_like(images).sign()).clamp(0, 1)
        perturbed = torch.rand(count, 1, side, side) >= UNPERTURBED
        sparse = torch.where(perturbed.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3), dense, images)
        for case, adversarials in {"every cell perturbed": dense, "60% of the cells unperturbed": sparse}.items():
            speeds = per_second(take_turns(ways_to(network, images, adversarials, mask), arguments.rounds), count)
            best = max((name for name in speeds if name != "advscope"), key=lambda name: speeds[name]["median"])
            ratio = speeds["advscope"]["median"] / speeds[best]["median"]
            figures.append(
                {
                    "images": count,
                    "case": case,
                    "images_per_second": speeds,
                    "best_peer": best,
                    "ratio": round(ratio, 2),
                }
            )
            print(f"{count} images, {case}: {ratio:.2f} times {best}", file=sys.stderr, flush=True)
    show({"machine": machine(), "rounds": arguments.rounds, "cases": figures})


if __name__ == "__main__":
    main()
