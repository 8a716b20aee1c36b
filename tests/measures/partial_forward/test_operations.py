"""Each operation on windows, and those that need whole maps, against the network's own forward."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from advscope.measures import grid_cells, without_cells
from advscope.measures.partial_forward import NotApplicableError, PartialForward


class Head(nn.Module):
    """Two convolutions with something between them, so that what goes in and comes out are windows."""

    def __init__(self, middle, channels=8):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.middle = nn.Conv2d(3, 8, 3, padding=1), middle
        self.last, self.linear = nn.Conv2d(channels, 4, 3), nn.Linear(4, 5)

    def forward(self, images):
        features = self.last(self.middle(self.first(images).tanh()))
        return self.linear(functional.adaptive_avg_pool2d(features.tanh(), 1).flatten(1))


class Lambda(nn.Module):
    """A function of the features; traced through."""

    def __init__(self, function, **weights):
        super().__init__()
        self.function = function
        for name, weight in weights.items():
            self.register_buffer(name, weight)

    def forward(self, features):
        return self.function(self, features)


def weight(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def shuffled(_, features):
    count, channels, height, width = features.shape
    return features.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape(count, -1, height, width)


def reused_in_place(_, features):
    other = features * 2
    functional.relu(other, inplace=True)
    return other + features


def bent(module, features):
    return functional.conv2d(features, module.weight, stride=2, padding=1, groups=4)


LOCAL = {
    "dilation": nn.Conv2d(8, 8, 3, padding=2, dilation=2),
    "groups and an uneven kernel": nn.Conv2d(8, 8, (3, 1), (1, 2), (1, 0), groups=4),
    "same": nn.Conv2d(8, 8, 4, padding="same"),
    "a single tap with a stride": nn.Conv2d(8, 8, 1, 2),
    "stride above the kernel": nn.Conv2d(8, 8, 2, 3),
    "BatchNorm behind a convolution": nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
    "BatchNorm alone": nn.BatchNorm2d(8),
    "maximum": nn.MaxPool2d(3, 2, 1),
    "maximum, last window clipped": nn.MaxPool2d(3, 2, ceil_mode=True),
    "mean": nn.AvgPool2d(3, 1, 1),
    "mean by default stride": nn.AvgPool2d(2),
    "zeros around": nn.ZeroPad2d((0, 1, 2, 1)),
    "channels added": Lambda(lambda _, x: functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))[:, :8]),
    "joined": Lambda(lambda _, x: torch.cat([x[:, :4], functional.max_pool2d(x, 3, 1, 1)[:, 2:6]], 1)),
    "weights of a buffer": Lambda(bent, weight=weight(8, 2, 3, 3)),
    "a factor for each channel": Lambda(lambda module, x: x * module.scale - 0.5, scale=weight(1, 8, 1, 1)),
    "branches of different reach": Lambda(lambda _, x: functional.avg_pool2d(x, 5, 1, 2) + functional.relu6(x)),
    "in place": Lambda(lambda _, x: (x * 2).clamp_(-0.1, 0.1).add_(x)),
    "in place, and read again": Lambda(reused_in_place),
}
WHOLE = {
    "mean over fewer values at the border": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "mean, last window clipped": nn.AvgPool2d(3, 2, ceil_mode=True),
    "reflection": nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
    "reflection before BatchNorm": nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(8)
    ),
    "ones around": nn.ConstantPad2d(1, 1.0),
    "group norm": nn.GroupNorm(2, 8),
    "squeeze and excite": Lambda(lambda _, x: x * x.mean((2, 3), keepdim=True).sigmoid()),
    "a place for each position": Lambda(lambda module, x: x * module.scale, scale=weight(8, 19, 22)),
    "turned": Lambda(lambda _, x: x.flip(-1)),
    "transposed": Lambda(lambda _, x: x.transpose(2, 3)),
    "part of the positions": Lambda(lambda _, x: x[:, :, 2:, 1:]),
    "shuffled channels": Lambda(shuffled),
}


def difference(network, height=19, width=22, cell_size=4, stride=3):
    """Return the largest difference from the full forward, the median effect of a cell, and the shares."""
    torch.manual_seed(0)
    network = network.eval().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    images, adversarials = torch.rand(2, 2, 3, height, width, dtype=torch.float64)
    cells = grid_cells(height, width, cell_size, stride)
    partial = PartialForward(network, images[:1], cells)
    largest, effects, seen = 0.0, [], set()
    with torch.no_grad():
        whole = network(adversarials)
        for rows, places, logits in partial.logits(images, adversarials, torch.ones(2, len(cells), dtype=torch.bool)):
            full = whole[rows]
            if places is not None:
                full = network(without_cells(images[rows], adversarials[rows], cells[places]))
                effects.append((full - whole[rows]).abs().amax(1))
                seen |= set(zip(rows.tolist(), places.tolist(), strict=True))
            largest = max(largest, float((logits - full).abs().max() / (whole.amax() - whole.amin())))
    assert len(seen) == 2 * len(cells)
    return largest, float(torch.cat(effects).median()), partial.shares


@pytest.mark.parametrize("name", LOCAL)
def test_local_operations_run_on_windows(name):
    largest, effect, shares = difference(Head(LOCAL[name]))
    assert largest < 1e-12
    assert effect > 1e-5
    assert shares.max() < 0.85


@pytest.mark.parametrize("name", WHOLE)
def test_other_operations_run_on_whole_maps(name):
    largest, effect, shares = difference(Head(WHOLE[name]))
    assert largest < 1e-12
    assert effect > 1e-5
    assert shares.max() < 1  # the convolution before it still runs on windows


def test_what_needs_whole_maps_costs_them():
    _, _, local = difference(Head(nn.Identity()))
    _, _, whole = difference(Head(nn.GroupNorm(2, 8)))
    # 3 * 8 * 9 products at 19 x 22 positions, then 8 * 4 * 9 at 17 x 20, then 4 * 5; a cell of 4 reaches 6 and 8.
    full = 216 * 19 * 22 + 288 * 17 * 20 + 20
    assert local.tolist() == pytest.approx([(216 * 6 * 6 + 288 * 8 * 8 + 20) / full] * len(local))
    assert whole.tolist() == pytest.approx([(216 * 6 * 6 + 288 * 17 * 20 + 20) / full] * len(whole))


def test_batch_statistics_are_refused():
    with pytest.raises(NotApplicableError, match="middle normalises by the batch: images depend on each other"):
        difference(Head(nn.BatchNorm2d(8, track_running_stats=False, affine=False)))


def test_a_slice_changed_in_place_is_refused():
    with pytest.raises(NotApplicableError, match="works in place on a part of another tensor"):
        difference(Head(Lambda(lambda _, x: x + x[:, :, :, :].relu_())))
