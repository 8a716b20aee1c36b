"""PSR against Captum's FeatureAblation: images a second, for the same numbers.

    python -m benchmarks.promotion_suppression [--cases 32 mobilenet_v2 resnet18] [--images 32 128] [--rounds 3]

How fast are d0 and dt of every cell, where every cell is perturbed, and where 60% of the cells are not (a sparse
attack)? Two settings: cells of 4 px of 32 px images on a ResNet-20, and cells of 13 px of 224 px images on a network of
torchvision by name. Ours are the partial and the full forward; the peer is Captum in its fastest form: ablations per
evaluation in {1, 4, 16}, in two calls (one a class), or in one call whose forward returns both classes. It runs the
network on as many images at once as it is given (times the ablations), so its speed depends on the batch, and several
are measured (``--images`` at 32 px, ``--large`` at 224 px). All ways take turns on the same network (in channels_last,
the faster memory format for either) and images; the figures are medians, at 224 px of a single turn by default. That
they give the same numbers is checked first. Captum takes as long for a sparse attack as for a dense one: at 224 px only
its fastest form is timed again.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from captum.attr import FeatureAblation
from torch import Tensor, nn

from advscope.measures import grid_cells, promotion_suppression
from advscope.networks import CIFARResNet, Library
from benchmarks.turns import machine, per_second, show, take_turns

EVALUATIONS = (1, 4, 16)
UNPERTURBED = 0.6
FLOOR = 1e-6


def ours(
    network: nn.Module,
    images: Tensor,
    adversarials: Tensor,
    classes: Tensor,
    *,
    cell: int,
    forward: Literal["partial", "full"],
) -> Tensor:
    """Return d0 and dt of every cell, ``(N, m, 2)``."""
    effects = promotion_suppression(
        network, images, adversarials, *classes.unbind(1), cell_size=cell, floor=FLOOR, forward=forward
    )
    return torch.stack([effects.suppression, effects.promotion], dim=2)


def captum_two_calls(
    network: nn.Module, images: Tensor, adversarials: Tensor, classes: Tensor, *, mask: Tensor, at_once: int, cell: int
) -> Tensor:
    """Return the same by one call of Captum for each class."""
    ablation = FeatureAblation(network)
    both = [
        ablation.attribute(adversarials, images, wanted, feature_mask=mask, perturbations_per_eval=at_once)
        for wanted in classes.unbind(1)
    ]
    return at_cells(-both[0], both[1], cell)


def captum_one_call(
    network: nn.Module, images: Tensor, adversarials: Tensor, classes: Tensor, *, mask: Tensor, cell: int
) -> Tensor:
    """Return the same by one call for both classes, which Captum allows with one ablation per evaluation."""
    ablation = FeatureAblation(lambda batch: network(batch).gather(1, classes).flatten())
    found = ablation.attribute(adversarials, images, feature_mask=mask).unflatten(0, (-1, 2))
    return at_cells(-found[:, 0], found[:, 1], cell)


def at_cells(suppression: Tensor, promotion: Tensor, cell: int) -> Tensor:
    """Return what stands at each cell's first pixel, not below the floor, ``(N, m, 2)``."""
    corners = [part[:, 0, ::cell, ::cell].flatten(1).double() for part in (suppression, promotion)]
    return torch.stack(corners, dim=2).clamp(min=FLOOR)


def ways_to(
    network: nn.Module, images: Tensor, adversarials: Tensor, cell: int
) -> tuple[dict[str, Callable[[], Tensor]], float]:
    """Return every way to the effects of all cells, after a check that they agree, and the share of operations."""
    height, width = images.shape[2:]
    mask = torch.zeros(1, 1, height, width, dtype=torch.int64)
    for place, (top, left, bottom, right) in enumerate(grid_cells(height, width, cell).tolist()):
        mask[..., top:bottom, left:right] = place
    logits = network(adversarials)
    labels, targets = logits.topk(2).indices.flip(1).unbind(1)
    given = (network, images, adversarials, torch.stack([labels, targets], dim=1))
    ways: dict[str, Callable[[], Tensor]] = {
        f"advscope, {forward}": partial(ours, *given, cell=cell, forward=forward) for forward in ("partial", "full")
    }
    ways["captum, one call, 1 at once"] = partial(captum_one_call, *given, mask=mask, cell=cell)
    for at_once in EVALUATIONS:
        name = f"captum, two calls, {at_once} at once"
        ways[name] = partial(captum_two_calls, *given, mask=mask, at_once=at_once, cell=cell)
    wanted = ways["advscope, full"]()
    allowed = 1e-5 * float((logits.amax(1) - logits.amin(1)).max())
    # At 224 px a way takes its time: of Captum's, the forms differ in the number at once alone.
    for name in list(ways) if height <= 64 else ("advscope, partial", "captum, one call, 1 at once"):
        torch.testing.assert_close(
            ways[name](), wanted, rtol=1e-3, atol=allowed, msg=lambda found, name=name: f"{name}: {found}"
        )
    shares = promotion_suppression(*given[:3], labels, targets, cell_size=cell, forward="partial").operations
    return ways, float(shares.mean())


def pairs(count: int, size: int, cell: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield the cases: a name, clean and adversarial images."""
    torch.manual_seed(0)
    images = torch.rand(count, 3, size, size).contiguous(memory_format=torch.channels_last)
    dense = (images + 8 / 255 * torch.randn_like(images).sign()).clamp(0, 1)
    side = -(-size // cell)
    perturbed = (torch.rand(count, 1, side, side) >= UNPERTURBED).repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    yield "every cell perturbed", images, dense
    yield "60% of the cells unperturbed", images, torch.where(perturbed[..., :size, :size], dense, images)


def measured(name: str, count: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of one network and number of images."""
    size, cell = (32, 4) if name == "32" else (224, 13)
    torch.manual_seed(0)
    network: nn.Module = CIFARResNet(20) if name == "32" else Library(f"torchvision/{name}")
    # Statistics of its own, as after training: else nothing in an image moves a deep network's logits.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(torch.rand(8, 3, size, size))
    network = network.eval().to(memory_format=torch.channels_last)
    best = ""
    for case, images, adversarials in pairs(count, size, cell):
        ways, share = ways_to(network, images, adversarials, cell)
        if best and size > 64:
            ways = {way: ways[way] for way in ("advscope, partial", "advscope, full", best)}
        seconds = take_turns(ways, rounds, warm_up=size <= 64)
        middle = {way: statistics.median(times) for way, times in seconds.items()}
        best = min((way for way in middle if way.startswith("captum")), key=middle.__getitem__)
        yield {
            "network": "resnet20" if name == "32" else name,
            "pixels": size,
            "images": count,
            "case": case,
            "share_of_operations": round(share, 3),
            "images_per_second": per_second(seconds, count, 3),
            "best_peer": best,
            "ratio_to_best_peer": round(middle[best] / middle["advscope, partial"], 2),
            "ratio_to_full_forward": round(middle["advscope, full"] / middle["advscope, partial"], 2),
        }


@torch.no_grad()
def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["32", "mobilenet_v2", "resnet18"], help="32, or networks at 224")
    parser.add_argument("--images", type=int, nargs="+", default=[32, 128], help="images in a batch, at 32 px")
    parser.add_argument("--large", type=int, nargs="+", default=[1], help="images in a batch, at 224 px")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every way at 32 px")
    parser.add_argument("--large-rounds", type=int, default=1, help="turns of every way at 224 px")
    arguments = parser.parse_args()
    figures = []
    for name in arguments.cases:
        for count in arguments.images if name == "32" else arguments.large:
            for found in measured(name, count, arguments.rounds if name == "32" else arguments.large_rounds):
                figures.append(found)
                print(
                    f"{found['network']}, {count} images, {found['case']}: {found['ratio_to_best_peer']} times "
                    f"{found['best_peer']}, {found['ratio_to_full_forward']} times the full forward, "
                    f"{found['share_of_operations']:.0%} of its operations",
                    file=sys.stderr,
                    flush=True,
                )
    show({"machine": machine(), "rounds": [arguments.rounds, arguments.large_rounds], "cases": figures})


if __name__ == "__main__":
    main()
