"""CAM in closed form against pytorch-grad-cam: images a second, for the same maps.

    python -m benchmarks.cam [--images 32] [--rounds 5]

One question: how fast are the class activation maps of a batch, for a ResNet-20 at 32 x 32 and a torchvision ResNet-18
at 224 x 224? The peer's GradCAM ends in a ReLU and scales each map to [0, 1], so ours are brought to the same form
before they are compared; the peer is run as it is meant to be, and with its own ``resize``. Both take turns on the same
network and images; the figures are medians.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchvision.models import resnet18

from advscope.explainers import CAM
from advscope.networks import CIFARResNet
from benchmarks.turns import machine, per_second, show, take_turns


def scaled(maps: Tensor) -> np.ndarray:
    """Return maps after the ReLU and the scaling that the peer gives its own."""
    maps = maps.clamp(min=0)
    lowest, highest = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return ((maps - lowest) / (highest - lowest + 1e-7)).numpy()


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32, help="images in a batch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    small, large = CIFARResNet(20).eval(), resnet18().eval()
    cases: dict[str, tuple[nn.Module, nn.Module, int]] = {
        "ResNet-20, 32 px": (small, small.layer3, 32),
        "ResNet-18, 224 px": (large, large.layer4, 224),
    }
    figures = {}
    for case, (network, layer, size) in cases.items():
        images = torch.rand(arguments.images, 3, size, size)
        with torch.no_grad():
            classes = network(images).argmax(1)
        targets = [ClassifierOutputTarget(int(wanted)) for wanted in classes]
        cam = CAM()
        with GradCAM(model=network, target_layers=[layer]) as peer:
            ways: dict[str, Callable[[], object]] = {
                "advscope": lambda cam=cam, given=(network, images, classes): cam(*given),
                "pytorch-grad-cam": lambda peer=peer, given=(images, targets): peer(*given),
            }
            # The peer scales before it resizes, and again after: the shape agrees, the scale to a percent.
            difference = np.abs(scaled(cam(network, images, classes)) - ways["pytorch-grad-cam"]()).mean()  # type: ignore[operator]
            if difference > 0.01:
                raise SystemExit(f"{case}: the maps differ by {difference:.3f} on average; nothing is timed")
            speeds = per_second(take_turns(ways, arguments.rounds), arguments.images)
        figures[case] = {
            "images_per_second": speeds,
            "ratio": round(speeds["advscope"]["median"] / speeds["pytorch-grad-cam"]["median"], 2),
            "mean_difference_of_scaled_maps": round(float(difference), 5),
        }
    show({"machine": machine(), "images": arguments.images, "rounds": arguments.rounds, "cases": figures})


if __name__ == "__main__":
    main()
