"""Tests of attacks that are run again inside a region."""

import pytest
import torch
from torch import nn

from advscope.attacks import IFGSM, PGD, Attack, FirstSuccess, Refined
from advscope.explainers import CAM, GradCAM
from advscope.frozen import MicroBatched
from advscope.measures import SalientPixels, SignificantCells, salient_mask
from advscope.networks import CIFARResNet
from advscope.region import Region


class Fixed(Region):
    """A region that is given, and remembers what it was asked."""

    def __init__(self, mask):
        self.mask = mask
        self.asked = []

    def settings(self):
        return {"class": "Fixed"}

    def __call__(self, network, images, adversarials, labels, targets):
        self.asked.append((network, images, adversarials, labels, targets))
        return self.mask


def some_mask():
    return torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(4)) < 0.3


def resnet(size=8):
    torch.manual_seed(0)
    network = CIFARResNet(8, width=8).eval()
    return MicroBatched(network, size)


def pictures(network, count=7):
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return images, network(images).argmax(1)


@pytest.mark.parametrize("targeted", [False, True])
def test_is_the_attack_and_then_the_attack_inside_its_region(targeted, residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    targets = (labels + 1) % 5 if targeted else None
    attack, region = PGD(eps=0.05, step_size=0.02, steps=4, norm="L2"), SignificantCells(3)
    indices = torch.arange(6) + 20
    found = Refined(attack, region)(network, images, labels, targets, indices, draw=2)
    for row in range(6):
        one = slice(row, row + 1)
        aim = None if targets is None else targets[one]
        first = attack(network, images[one], labels[one], aim, indices[one], 2)
        reached = network(first).argmax(1) if aim is None else aim
        mask = region(network, images[one], first, labels[one], reached)
        second = attack(network, images[one], labels[one], aim, indices[one], 2, mask)
        torch.testing.assert_close(found[one], second, rtol=0, atol=1e-9)
    assert (found != images).any()


def test_the_budget_is_spent_inside():
    # The network is linear: in an l2 ball of 0.3 the optimum inside the mask is 0.3 w_S / ||w_S||, of length 0.3.
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, 2)).double()
    images = torch.full((1, 2, 4, 4), 0.5, dtype=torch.float64)
    labels = network(images).argmax(1)
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 1:3, 2:] = True
    found = Refined(IFGSM(eps=0.3, norm="L2"), Fixed(mask))(network, images, labels)
    weight = network[1].weight.detach()
    slope = torch.where(mask, (weight[1 - labels] - weight[labels]).view_as(images), 0)
    torch.testing.assert_close(found, images + 0.3 * slope / slope.norm(), rtol=0, atol=1e-12)


def test_the_region_is_asked_with_the_callers_network_and_what_was_reached(residual, examples):
    network = residual()
    images, labels = examples(network)
    region, attack = Fixed(some_mask()), PGD(eps=0.01, step_size=0.004, steps=3)
    first = attack(network, images, labels)
    Refined(attack, region)(network, images, labels)
    FirstSuccess([Refined(Refined(attack, region), region)])(network, images, labels, (labels + 1) % 5)
    untargeted, targeted = region.asked[0], region.asked[-1]
    assert all(asked[0] is network for asked in region.asked)
    assert torch.equal(untargeted[1], images)
    assert torch.equal(untargeted[2], first)
    assert torch.equal(untargeted[3], labels)
    assert torch.equal(untargeted[4], network(first).argmax(1))
    assert 0 < (untargeted[4] == labels).sum() < 6  # an attack that failed is asked about as well
    assert torch.equal(targeted[4], (labels + 1) % 5)


def test_an_empty_region_gives_the_clean_image_back_and_costs_nothing_more(residual, examples):
    class Counting(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network, self.passes = network, []

        def forward(self, images):
            self.passes.append(len(images))
            return self.network(images)

    network = Counting(residual())
    images, labels = examples(network.network)
    mask = some_mask()
    mask[2] = False
    found = Refined(PGD(steps=2), Fixed(mask))(network, images, labels)
    assert torch.equal(found[2], images[2])
    assert network.passes == [6, 6, 6, 5, 5]
    nothing = Fixed(torch.zeros(6, 1, 12, 12, dtype=torch.bool))
    assert torch.equal(Refined(PGD(steps=2), nothing)(network, images, labels), images)


def test_a_mask_of_the_caller_holds_both_runs(residual, examples):
    network = residual()
    images, labels = examples(network)
    inner, outer = some_mask(), torch.zeros(6, 1, 12, 12, dtype=torch.bool)
    outer[:, :, :7] = True
    region, attack = Fixed(inner), PGD(steps=3, norm="L2", eps=0.5)
    found = Refined(attack, region)(network, images, labels, mask=outer)
    assert torch.equal(found, attack(network, images, labels, mask=inner & outer))
    outside = ~outer.expand_as(images)
    assert torch.equal(region.asked[0][2][outside], images[outside])


def test_regions_nest(residual, examples):
    network = residual()
    images, labels = examples(network)
    first, second = Fixed(some_mask()), Fixed(some_mask().flip(-1))
    attack = PGD(steps=3, norm="L2", eps=0.5)
    found = Refined(Refined(attack, first), second)(network, images, labels)
    assert torch.equal(found, attack(network, images, labels, mask=first.mask & second.mask))


@pytest.mark.parametrize("around", [lambda attack: attack, lambda attack: FirstSuccess([attack])])
def test_cam_finds_its_head_through_every_wrapper(around):
    network = resnet()
    images, labels = pictures(network)
    attack = PGD(eps=0.002, step_size=0.001, steps=3)
    found = around(Refined(attack, SalientPixels(CAM())))(network, images, labels)
    mask = salient_mask(CAM()(network, images, labels))[:, None]
    assert torch.equal(found, around(attack)(network, images, labels, mask=mask))
    same = Refined(attack, SalientPixels(GradCAM("layer3.0")))(network, images, labels)
    expected = salient_mask(GradCAM("layer3.0")(network, images, labels))[:, None]
    assert torch.equal(same, attack(network, images, labels, mask=expected))


@pytest.mark.parametrize(
    "region", [SalientPixels(CAM()), SignificantCells(5, stride=3), SignificantCells(8, reading="count")], ids=str
)
def test_on_micro_batches_no_bit_depends_on_the_batch(region):
    network = resnet()
    images, labels = pictures(network, 11)
    attack, indices = Refined(PGD(eps=0.01, step_size=0.004, steps=3), region), torch.arange(11)

    def run(rows):
        return attack(network, images[rows], labels[rows], (labels[rows] + 1) % 10, indices[rows])

    whole = run(torch.arange(11))
    assert (whole != images).flatten(1).any(1).sum() > 5
    for rows in ([5], [10, 3, 5, 0], [8, 9, 1, 2, 0, 4]):
        assert torch.equal(run(torch.tensor(rows)), whole[rows])


class Returning(Region):
    """A region that returns what a function makes of the clean images."""

    def __init__(self, function):
        self.function = function

    def __call__(self, network, images, adversarials, labels, targets):
        return self.function(images)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, :1], r"must return torch.bool of shape \(6, 1, 12, 12\), .*, got torch.float32 of shape"),
        (lambda x: x > 0.5, r"must return torch.bool of .*, got torch.bool of shape \(6, 3, 12, 12\)"),
        (lambda x: x[:2, :1] > 0.5, r"got torch.bool of shape \(2, 1, 12, 12\)"),
        (lambda x: None, r"must return a bool tensor of shape \(6, 1, 12, 12\), got a NoneType"),
    ],
)
def test_a_region_that_returns_no_mask_is_named(function, message, residual, examples):
    network = residual()
    with pytest.raises(ValueError, match=r"the region Returning\(.*" + message) as error:
        Refined(PGD(steps=1), Returning(function))(network, *examples(network))
    assert "\n" not in str(error.value)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="attack must be an attack, such as PGD"):
        Refined(SignificantCells(4), SignificantCells(4))
    with pytest.raises(ValueError, match="region must be a region, such as SignificantCells"):
        Refined(PGD(), some_mask())


def test_settings_hold_the_attack_and_the_region():
    attack = Refined(PGD(steps=3), SalientPixels(GradCAM("layer1"), 0.5))
    assert attack.settings() == {
        "class": "Refined",
        "attack": PGD(steps=3).settings(),
        "region": {"class": "SalientPixels", "explainer": {"class": "GradCAM", "layer": "layer1"}, "quantile": 0.5},
    }
    assert attack == Refined(PGD(steps=3), SalientPixels(GradCAM("layer1"), 0.5))
    assert attack != Refined(PGD(steps=3), SalientPixels(GradCAM("layer2"), 0.5))
    assert hash(attack) != hash(Refined(PGD(steps=4), attack.region))
    assert isinstance(attack, Attack)


def test_a_first_result_that_is_known_saves_its_run(residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    attack = PGD(eps=0.05, step_size=0.02, steps=4)
    refined = Refined(attack, SignificantCells(3))
    first = attack(network, images, labels, indices=torch.arange(6))
    expected = refined(network, images, labels, indices=torch.arange(6))
    counted = MicroBatched(network, 6)
    assert torch.equal(refined.after(first)(counted, images, labels, indices=torch.arange(6)), expected)
    spent = counted.backwards
    refined(counted, images, labels, indices=torch.arange(6))
    assert counted.backwards - spent == 2 * spent
    # The attack itself remembers nothing.
    assert refined == Refined(attack, SignificantCells(3))
    other = attack(network, images.flip(0), labels.flip(0))
    assert not torch.equal(refined.after(other)(network, images, labels), expected)
