"""Explainers against pytorch-grad-cam and Captum: maps a second, for the same maps.

    python -m benchmarks.explainers [--images 32] [--many-images 4] [--rounds 5] [--only NAME]

Three questions, on a ResNet-20 at 32 x 32 and a torchvision ResNet-18 at 224 x 224:

- ``one``: how fast are CAM, Grad-CAM and Grad-CAM++ of one class of each image? Against pytorch-grad-cam's Grad-CAM and
  Grad-CAM++, run as they are meant to be: once for the batch.
- ``all``: how fast are the maps of many classes of each image (10 of 10, and 100 of 1,000)? The peer has one call a
  class.
- ``mean``: how fast are SmoothGrad and integrated gradients? Against Captum's, at the fastest of several batch sizes.

pytorch-grad-cam's maps end in a ReLU and are scaled to [0, 1], so ours are brought to the same form, by its own
functions, before they are compared; in its time are its ``resize`` and copy to numpy, which it always does, and in ours
the upsampling. The difference is the largest one of these maps; for integrated gradients the largest over the largest
value; for SmoothGrad, whose noise is another in each library, how much less the two maps correlate than two draws of
ours. All take turns on the same network and images; the figures are medians. Where maps differ nothing is timed.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import NoiseTunnel, Saliency
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM as PeerGradCAM
from pytorch_grad_cam import GradCAMPlusPlus as PeerGradCAMPlusPlus
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchvision.models import resnet18

from advscope.explainers import CAM, Explainer, GradCAM, GradCAMPlusPlus, IntegratedGradients, SmoothGrad
from advscope.frozen import frozen
from advscope.networks import CIFARResNet
from benchmarks.turns import machine, per_second, show, take_turns

Ways = dict[str, Callable[[], Any]]


def as_peers(explainer: Explainer, network: nn.Module, images: Tensor, classes: Tensor) -> NDArray[Any]:
    """Return raw maps after what the peer does with its own: a ReLU, scaling, its resize, and scaling again."""
    height, width = images.shape[-2:]
    with frozen(network):
        raw = explainer.maps(network, images, classes.view(len(classes), -1), False).detach().numpy()
    maps = [scale_cam_image(scale_cam_image(np.maximum(one, 0), (width, height))) for one in raw.swapaxes(0, 1)]
    return np.stack(maps, 1) if classes.ndim == 2 else maps[0]


def peer_maps(peer: BaseCAM, images: Tensor, classes: Tensor) -> NDArray[Any]:
    """Return pytorch-grad-cam's maps of classes ``(N,)`` or, one call a class, ``(N, M)``."""
    if classes.ndim == 1:
        return peer(images, [ClassifierOutputTarget(int(wanted)) for wanted in classes])  # type: ignore[no-any-return]
    return np.stack([peer_maps(peer, images, column) for column in classes.unbind(1)], 1)


def compared(ours: Ways, theirs: Ways, difference: float, limit: float, rounds: int, count: int) -> dict[str, Any]:
    """Time the ways in turns and return speeds, with the ratio of each of ours to the fastest of theirs."""
    if not difference <= limit:
        raise SystemExit(f"the maps differ by {difference:.3g}; nothing is timed")
    speeds = per_second(take_turns(ours | theirs, rounds), count)
    best = max(speeds[name]["median"] for name in theirs)
    ratios = {name: round(speeds[name]["median"] / best, 2) for name in ours}
    return {"maps_per_second": speeds, "ratio_to_the_fastest_peer": ratios, "difference": round(difference, 7)}


def one_or_all(network: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor, rounds: int) -> dict[str, Any]:
    """Compare the maps that weigh a layer's channels."""
    figures = {}
    groups: dict[str, tuple[type[BaseCAM], dict[str, Explainer]]] = {
        "Grad-CAM": (PeerGradCAM, {"CAM": CAM(), "GradCAM": GradCAM()}),
        "Grad-CAM++": (PeerGradCAMPlusPlus, {"GradCAMPlusPlus": GradCAMPlusPlus()}),
    }
    for name, (kind, explainers) in groups.items():
        with kind(model=network, target_layers=[layer]) as peer:
            expected = peer_maps(peer, images, classes)
            difference = max(
                float(np.abs(as_peers(explainer, network, images, classes) - expected).max())
                for explainer in explainers.values()
            )
            ours: Ways = {
                label: lambda explainer=explainer: explainer(network, images, classes)  # type: ignore[misc]
                for label, explainer in explainers.items()
            }
            theirs: Ways = {"pytorch-grad-cam": lambda peer=peer: peer_maps(peer, images, classes)}  # type: ignore[misc]
            figures[name] = compared(ours, theirs, difference, 1e-3, rounds, classes.numel())
    return figures


def means(network: nn.Module, images: Tensor, classes: Tensor, rounds: int, steps: int) -> dict[str, Any]:
    """Compare the maps that are means of input gradients."""
    count = len(images)
    integrated = IntegratedGradients(steps=steps)
    peer = CaptumIntegratedGradients(network)
    batches = (16, 64, count * steps)

    def captums(batch: int) -> Tensor:
        return peer.attribute(images, target=classes, n_steps=steps, internal_batch_size=max(batch, count)).sum(1)

    ours = integrated(network, images, classes)
    difference = float((ours - captums(64).detach()).abs().max() / ours.abs().max())
    figures = {
        "IntegratedGradients": compared(
            {"IntegratedGradients": lambda: integrated(network, images, classes)},
            {f"Captum, {batch} at once": lambda batch=batch: captums(batch) for batch in batches},  # type: ignore[misc]
            difference,
            1e-3,
            rounds,
            count,
        )
    }
    smooth = SmoothGrad(samples=steps)
    tunnel = NoiseTunnel(Saliency(network))
    deviation = 0.15 * float(images.max() - images.min())

    def captums_smooth(batch: int) -> Tensor:
        found = tunnel.attribute(
            images, nt_type="smoothgrad", nt_samples=steps, nt_samples_batch_size=max(1, batch // count),
            stdevs=deviation, target=classes, abs=False,
        )  # fmt: skip
        return found.abs().sum(1)

    # Two draws of the noise: the maps of one image agree as far as the mean of so many samples is settled.
    apart = correlation(smooth(network, images, classes), captums_smooth(64).detach())
    other_draw = correlation(smooth(network, images, classes), SmoothGrad(steps, seed=1)(network, images, classes))
    figures["SmoothGrad"] = compared(
        {"SmoothGrad": lambda: smooth(network, images, classes)},
        {f"Captum, {batch} at once": lambda batch=batch: captums_smooth(batch) for batch in batches},  # type: ignore[misc]
        other_draw - apart,
        0.05,
        rounds,
        count,
    )
    return figures


def correlation(maps: Tensor, others: Tensor) -> float:
    """Return the mean correlation of two sets of maps."""
    pairs = zip(maps.flatten(1), others.flatten(1), strict=True)
    return float(np.mean([np.corrcoef(one.numpy(), other.numpy())[0, 1] for one, other in pairs]))


def main() -> None:
    """Run the benchmark and print its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32, help="images in a batch")
    parser.add_argument("--many-images", type=int, default=4, help="images in the batch of 224 px with many classes")
    parser.add_argument("--many", type=int, default=100, help="classes of 1,000 that are many")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way")
    parser.add_argument("--steps", type=int, default=50, help="samples of SmoothGrad, steps of integrated gradients")
    parser.add_argument("--only", choices=("one", "all", "mean"), help="one of the questions alone")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    small, large = CIFARResNet(20).eval(), resnet18().eval()
    cases: dict[str, tuple[nn.Module, nn.Module, int, int]] = {
        "ResNet-20, 32 px": (small, small.layer3, 32, 10),
        "ResNet-18, 224 px": (large, large.layer4, 224, arguments.many),
    }
    figures: dict[str, Any] = {}
    for case, (network, layer, size, many) in cases.items():
        images = torch.rand(arguments.images, 3, size, size)
        with torch.no_grad():
            order = network(images).argsort(1, descending=True)
        found = figures[case] = {}
        if arguments.only in (None, "one"):
            found[f"one class, {arguments.images} images"] = one_or_all(
                network, layer, images, order[:, 0], arguments.rounds
            )
        if arguments.only in (None, "all"):
            few = slice(arguments.images if size == 32 else arguments.many_images)
            found[f"{many} classes, {len(images[few])} images"] = one_or_all(
                network, layer, images[few], order[few, :many], arguments.rounds
            )
        if arguments.only in (None, "mean") and size == 32:
            found[f"{arguments.steps} gradients, {arguments.images} images"] = means(
                network, images, order[:, 0], arguments.rounds, arguments.steps
            )
    show({"machine": machine(), "rounds": arguments.rounds, "cases": figures})


if __name__ == "__main__":
    main()
