"""PSR against Captum's FeatureAblation: images a second, for the same numbers.

    python -m benchmarks.promotion_suppression [--images 32] [--rounds 5]

One question: how fast are d0 and dt of every 4 x 4 cell of 32 x 32 images on a ResNet-20, where every cell is
perturbed, and where 60% of the cells are not (a sparse attack)? The peer is Captum in its fastest form: ablations per
evaluation in {1, 4, 16}, in two calls (one a class) or in one call whose forward returns both classes, with the
network in either memory format. All ways take turns on the same network and images; the figures are medians. That they
give the same numbers is checked first.
"""

import argparse
import copy
from collections.abc import Callable
from functools import partial

import torch
from captum.attr import FeatureAblation
from torch import Tensor, nn

from advscope.measures import grid_cells, promotion_suppression
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


@torch.no_grad()
def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32, help="images in a batch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    network = CIFARResNet(20).eval()
    channels_last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    images = torch.rand(arguments.images, 3, SIZE, SIZE)
    dense = (images + 8 / 255 * torch.randn_like(images).sign()).clamp(0, 1)
    side = SIZE // CELL
    perturbed = torch.rand(arguments.images, 1, side, side) >= UNPERTURBED
    sparse = torch.where(perturbed.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3), dense, images)
    mask = torch.arange(side**2).view(1, 1, side, side).repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)
    assert len(grid_cells(SIZE, SIZE, CELL)) == side**2

    cases = {"every cell perturbed": dense, "60% of the cells unperturbed": sparse}
    figures = {}
    for case, adversarials in cases.items():
        labels, targets = network(adversarials).topk(2).indices.flip(1).unbind(1)
        given = (images, adversarials, torch.stack([labels, targets], dim=1))
        ways: dict[str, Callable[[], Tensor]] = {"advscope": partial(ours, channels_last, *given)}
        for suffix, peer in (("", network), (", channels_last", channels_last)):
            ways[f"captum, one call, 1 at once{suffix}"] = partial(captum_one_call, peer, *given, mask=mask)
            for at_once in EVALUATIONS:
                name = f"captum, two calls, {at_once} at once{suffix}"
                ways[name] = partial(captum_two_calls, peer, *given, mask=mask, at_once=at_once)
        wanted = ways["advscope"]()
        for name, way in ways.items():
            torch.testing.assert_close(way(), wanted, rtol=1e-3, atol=1e-5, msg=name)
        speeds = per_second(take_turns(ways, arguments.rounds), arguments.images)
        best = max((name for name in speeds if name != "advscope"), key=lambda name: speeds[name]["median"])
        figures[case] = {
            "images_per_second": speeds,
            "best_peer": best,
            "ratio_to_best_peer": round(speeds["advscope"]["median"] / speeds[best]["median"], 2),
        }
    show({"machine": machine(), "images": arguments.images, "rounds": arguments.rounds, "cases": figures})


if __name__ == "__main__":
    main()
