"""Whole networks by partial forwards, against their full forwards and Captum's ablation."""

import pytest
import torch
from captum.attr import FeatureAblation
from torch import nn

from advscope.frozen import MicroBatched, frozen
from advscope.measures import grid_cells, promotion_suppression, without_cells
from advscope.measures.partial_forward import PartialForward
from advscope.networks import CIFARResNet, Library, MadryResNet, Normalize, load_weights

NETWORKS = {
    "CIFARResNet-20 with padded shortcuts": (lambda: CIFARResNet(20), 32, 4),
    "CIFARResNet-14 with convolved shortcuts": (lambda: CIFARResNet(14, shortcut="B"), 29, 5),
    "MadryResNet": (lambda: MadryResNet(widths=(8, 8, 16, 32), units=2, normalize=Normalize()), 32, 4),
    "ResNet-18": (lambda: Library("torchvision/resnet18", 10), 81, 13),
    "ResNet-50": (lambda: Library("torchvision/resnet50", 10), 78, 13),
    "MobileNetV2": (lambda: Library("torchvision/mobilenet_v2", 10), 96, 13),
    "GoogLeNet": (lambda: Library("torchvision/googlenet", 10), 96, 13),
    "Inception-v3": (lambda: Library("torchvision/inception_v3", 10), 95, 13),
    "ResNetV2-101 of timm": (lambda: Library("timm/resnetv2_101", 10, settings={"layers": (1, 1, 1, 1)}), 96, 13),
}


def settled(network, dtype, size=64):
    """A network whose logits depend on the image: with statistics of its own, as after training."""
    generator = torch.Generator().manual_seed(5)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = 1.0
        module.weight.data.uniform_(0.7, 1.3, generator=generator)
        module.bias.data.normal_(0, 0.2, generator=generator)
    with torch.no_grad():
        network.train()(torch.rand(3, 3, size, size, generator=generator))
    return network.eval().to(dtype)


def pairs(count, size, dtype, width=None):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(count, 3, size, width or size, generator=generator, dtype=torch.float64)
    adversarials = (images + 0.3 * torch.randn(images.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return images.to(dtype), adversarials.to(dtype)


def some(cells, count, every):
    """Some cells of each image, the corners among them."""
    asked = torch.zeros(count, len(cells), dtype=torch.bool)
    asked[:, ::every] = True
    side = int((cells[:, 0] == cells[0, 0]).sum())
    asked[:, [0, side - 1, len(cells) - side, len(cells) - 1]] = True
    return asked


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_the_full_forward(name, dtype):
    build, size, cell_size = NETWORKS[name]
    torch.manual_seed(0)
    network = settled(build(), dtype, size)
    images, adversarials = pairs(1, size, dtype, size - 3)
    cells = grid_cells(size, size - 3, cell_size, cell_size - 1)
    partial = PartialForward(network, images, cells)
    assert partial.shares.max() < 0.95
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    with torch.no_grad():
        whole = network(adversarials)
        spread = float(whole.amax() - whole.amin())
        effect = 0.0
        for rows, places, logits in partial.logits(images, adversarials, some(cells, 1, len(cells) // 6)):
            full = whole
            if places is not None:
                full = network(without_cells(images[rows], adversarials[rows], cells[places]))
                effect = max(effect, float((full - whole).abs().max()))
            assert torch.allclose(logits, full.expand_as(logits), rtol=0, atol=tolerance * spread)
    assert effect > 10 * tolerance * spread


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v2", 64), ("resnet18", 62)])
def test_equals_captums_ablation(name, size):
    torch.manual_seed(0)
    network = settled(Library(f"torchvision/{name}", 6), torch.float64)
    images, adversarials = pairs(1, size, torch.float64)
    labels, targets = torch.tensor([1]), torch.tensor([5])
    effects = promotion_suppression(
        network, images, adversarials, labels, targets, cell_size=13, floor=1e-9, forward="partial"
    )
    mask = torch.zeros(size, size, dtype=torch.int64)
    for place, (top, left, bottom, right) in enumerate(effects.cells.tolist()):
        mask[top:bottom, left:right] = place
    ablation = FeatureAblation(network)

    def lost(classes):
        maps = ablation.attribute(adversarials, images, target=classes, feature_mask=mask[None, None])
        return maps[:, 0, effects.cells[:, 0], effects.cells[:, 1]].detach()

    # Captum takes differences in float32, whatever the network's type.
    assert torch.allclose(effects.suppression, (-lost(labels)).clamp(min=1e-9), rtol=0, atol=1e-5)
    assert torch.allclose(effects.promotion, lost(targets).clamp(min=1e-9), rtol=0, atol=1e-5)
    assert effects.score.amax() > 1e-3


def test_equals_the_full_forward_of_published_weights(shared):
    network = Library("torchvision/mobilenet_v2").eval()
    load_weights(network, shared / "data/models/imagenet/mobilenet_v2_dequantised_torchvision.pth")
    images, adversarials = pairs(1, 112, torch.float32)
    labels, targets = torch.tensor([0]), network(adversarials).argmax(1)
    found = [
        promotion_suppression(network, images, adversarials, labels, targets, cell_size=13, forward=forward)
        for forward in ("partial", "full")
    ]
    spread = float(found[1].floor) / 1e-4
    assert torch.allclose(found[0].score, found[1].score, rtol=0, atol=1e-4 * spread)
    assert found[1].score.amax() > 1e-2 * spread
    assert float(found[0].operations) < 0.8


def test_bits_depend_on_neither_batch_nor_order_nor_memory():
    network = settled(CIFARResNet(8), torch.float32)
    images, adversarials = pairs(5, 32, torch.float32)
    adversarials[1, :, :, :20] = images[1, :, :, :20]
    labels, targets = torch.arange(5), torch.arange(5) + 1
    still = MicroBatched(network, 8)

    def effects(chosen, **settings):
        given = (images[chosen], adversarials[chosen], labels[chosen], targets[chosen])
        return promotion_suppression(still, *given, cell_size=4, forward="partial", **settings)

    together = effects(slice(None))
    for chosen in ([2], [4, 1, 0], [3, 2, 1, 0, 4]):
        for ours, theirs in zip(effects(chosen, chunk_size=3), together, strict=True):
            assert torch.equal(ours, theirs if ours is theirs or len(theirs) != 5 else theirs[chosen])
    cells = grid_cells(32, 32, 4)
    asked = torch.ones(5, len(cells), dtype=torch.bool)
    found = []
    for memory in (1, 2**20, 2**29):
        kept = torch.zeros(5, len(cells), 10)
        with frozen(network):
            for rows, places, logits in PartialForward(network, images[:1], cells).logits(
                images, adversarials, asked, memory
            ):
                if places is not None:
                    kept[rows, places] = logits
        found.append(kept)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_every_pass_has_one_image_or_a_whole_batch(monkeypatch):
    # What the promise of equal bits rests on: kernels may round by the size of their batch.
    seen = []
    forward = nn.Linear.forward

    def watched(module, features):
        seen.append(len(features))
        return forward(module, features)

    network = settled(CIFARResNet(8), torch.float32)
    images, adversarials = pairs(3, 32, torch.float32)
    adversarials[1, :, 5:] = images[1, :, 5:]
    monkeypatch.setattr(nn.Linear, "forward", watched)
    cells = grid_cells(32, 32, 4)
    partial = PartialForward(network, images[:1], cells)
    seen.clear()
    found = list(partial.logits(images, adversarials, torch.rand(3, len(cells)) < 0.3))
    assert set(seen) == {1, *partial.batches}
    assert seen.count(1) == 3
    assert any(places is not None and len(places) < partial.batches[0] for _, places, _ in found)


def test_any_memory_format_gives_the_same_bits():
    network = settled(CIFARResNet(8), torch.float32)
    given = (*pairs(2, 32, torch.float32), torch.tensor([0, 1]), torch.tensor([2, 3]))
    one = promotion_suppression(network, *given, cell_size=4, forward="partial")
    turned = [part.contiguous(memory_format=torch.channels_last) for part in given[:2]]
    other = promotion_suppression(network, *turned, *given[2:], cell_size=4, forward="partial")
    assert torch.equal(one.score, other.score)


def test_an_infinite_or_missing_pixel_stays_where_it_is_seen():
    network = settled(CIFARResNet(8), torch.float64)
    images, adversarials = pairs(2, 32, torch.float64)
    adversarials[0, 0, 3, 3] = torch.nan
    given = (images, adversarials, torch.tensor([0, 1]), torch.tensor([2, 3]))
    partial, full = (
        promotion_suppression(network, *given, cell_size=4, forward=forward) for forward in ("partial", "full")
    )
    assert partial.score[0].isnan().all()
    assert torch.allclose(partial.score, full.score, rtol=0, atol=1e-10, equal_nan=True)
    assert not partial.score[1].isnan().any()
