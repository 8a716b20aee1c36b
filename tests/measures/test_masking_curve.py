"""Accuracy against masked units, against a loop over images with scipy's intervals, and its invariances."""

import functools
import math

import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from advscope.attacks import PGD
from advscope.batch import Batch
from advscope.frozen import MicroBatched
from advscope.measures import masking_curve
from advscope.measures.masking_curve import masked_sets
from advscope.networks import CIFARResNet, UnitMasking

ORDERS = {
    "sensitive": ((3, 0, 5, 1, 2, 4, 6, 7),),
    "random": ((1, 2, 0, 3, 7, 6, 5, 4), (5, 0, 3, 1, 2, 4, 6, 7)),
}
NUMBERS = [0, 1, 3, 8]
ATTACK = PGD(eps=0.02, step_size=0.01, steps=2)


IMAGES = torch.rand(26, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    """Return a network whose logits are 0 on average, so that the images are of several classes to it."""
    torch.manual_seed(1)
    network = CIFARResNet(8, width=8).eval()
    with torch.no_grad():
        network.linear.bias -= network(IMAGES).mean(0)
    return network


@pytest.fixture(scope="module")
def whole(network):
    """Return images that the network classifies rightly, but for every third; two of them have no class."""
    labels = network(IMAGES).argmax(1)
    second = network(IMAGES).topk(2).indices[:, 1]
    labels[::3] = second[::3]
    labels[[4, 9]] = -1
    return Batch(IMAGES, labels, torch.randperm(26, generator=torch.Generator().manual_seed(2)) + 100)


def masked(network):
    return lambda units: MicroBatched(UnitMasking(network, {"layer1.0": units}), 4)


def in_batches(whole, size):
    places = torch.arange(len(whole.labels)).split(size)
    return [Batch(whole.images[place], whole.labels[place], whole.indices[place]) for place in places]


@pytest.fixture(scope="module")
def curve(network, whole):
    return masking_curve(masked(network), in_batches(whole, 7), ORDERS, NUMBERS, ATTACK)


def fates(network, whole, units):
    """Return by a loop which images of a class withstand, clean and attacked, with a network of plain weights."""
    found = []
    for image, label, index in zip(whole.images, whole.labels, whole.indices, strict=True):
        if label < 0:
            continue
        masked = MicroBatched(UnitMasking(network, {"layer1.0": units}), 4)
        clean = bool(masked(image[None]).argmax() == label)
        adversarial = ATTACK(masked, image[None], label[None], indices=index[None])
        found.append((clean, clean and bool(masked(adversarial).argmax() == label)))
    return found


def test_equals_a_loop(network, whole, curve):
    once = functools.cache(lambda units: fates(network, whole, units))
    base = once(())
    different = set()
    for name, rankings in ORDERS.items():
        for number in NUMBERS:
            runs = [once(tuple(sorted(ranking[:number]))) for ranking in rankings]
            point = curve[name][number]
            for place, (figure, difference) in enumerate(
                ((point.clean, point.clean_difference), (point.robust, point.robust_difference))
            ):
                shares = [sum(run[row][place] for run in runs) / len(runs) for row in range(24)]
                changes = torch.tensor(
                    [share - base[row][place] for row, share in enumerate(shares)], dtype=torch.float64
                )
                assert figure.n == difference.n == 24
                assert figure.value == pytest.approx(sum(shares) / 24, rel=1e-12)
                if len(runs) == 1:
                    interval = binomtest(round(sum(shares)), 24).proportion_ci(method="wilson")
                    assert (figure.low, figure.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
                half = 1.959963984540054 * float(changes.std()) / math.sqrt(24)
                centre = float(changes.mean())
                assert difference.value == pytest.approx(centre, abs=1e-12)
                assert (difference.low, difference.high) == pytest.approx((centre - half, centre + half), abs=1e-9)
                different.add(round(figure.value, 9))
    assert len(different) > 5


def test_no_batch_size_order_or_repetition_moves_it(network, whole, curve):
    for size in (1, 26):
        assert masking_curve(masked(network), in_batches(whole, size), ORDERS, NUMBERS, ATTACK) == curve
    backwards = Batch(*(None if field is None else field.flip(0) for field in whole))
    assert masking_curve(masked(network), in_batches(backwards, 5), ORDERS, NUMBERS, ATTACK) == curve


@pytest.mark.parametrize("size", [3, 26])
def test_the_attack_is_told_which_image_is_which(network, whole, size):
    """An attack that gives every image of an even index one of another class, and leaves the others."""
    by_class = {int(label): image for image, label in zip(whole.images, network(whole.images).argmax(1), strict=True)}

    def even(network, images, labels, indices):
        other = [next(image for label, image in by_class.items() if label != int(each)) for each in labels]
        return torch.where((indices % 2 == 0).view(-1, 1, 1, 1), torch.stack(other), images)

    outcomes = {}
    masking_curve(masked(network), in_batches(whole, size), {"sensitive": ((),)}, [0], even, outcomes)
    found = outcomes[()]
    assert torch.equal(found.robust, found.clean & (found.indices % 2 == 1))
    assert 0 < int(found.robust.sum()) < int(found.clean.sum())


def test_the_attack_sees_the_masked_network(network, whole):
    seen = []

    def attack(network, images, labels, indices):
        seen.append(network.network.units["layer1.0"])
        return ATTACK(network, images, labels, indices=indices)

    known = {}
    masking_curve(masked(network), [whole], ORDERS, NUMBERS, attack, known)
    assert seen == list(known) == masked_sets(ORDERS, NUMBERS)
    assert all(outcome.clean.any() for outcome in known.values())


def test_a_set_of_units_is_measured_once_and_never_again(network, whole, curve):
    assert masked_sets(ORDERS, NUMBERS) == [(), (3,), (1,), (5,), (0, 3, 5), (0, 1, 2), tuple(range(8))]
    known = {}
    masking_curve(masked(network), [whole], ORDERS, [0, 1], ATTACK, known)
    assert set(known) == {(), (3,), (1,), (5,)}
    assert known[()].forwards > 24
    assert known[()].backwards == 2 * int(known[()].clean.sum())
    assert known[()].indices.tolist() == sorted(whole.indices[whole.labels >= 0].tolist())

    measured = []

    def counted(units):
        measured.append(units)
        return masked(network)(units)

    assert masking_curve(counted, [whole], ORDERS, NUMBERS, ATTACK, known) == curve
    # The last one is asked for its device alone.
    assert measured == [(0, 3, 5), (0, 1, 2), tuple(range(8)), ()]


def test_robust_images_are_right_before_and_after(network, whole):
    """An attack that turns every image into one of its label's class makes no clean mistake good."""
    by_label = {int(label): image for image, label in zip(whole.images, network(whole.images).argmax(1), strict=True)}

    def helpful(network, images, labels, indices):
        return torch.stack([by_label.get(int(label), image) for image, label in zip(images, labels, strict=True)])

    point = masking_curve(masked(network), [whole], {"sensitive": ((0,),)}, [0], helpful)["sensitive"][0]
    assert point.robust == point.clean
    assert 0.4 < point.clean.value < 0.9


def test_without_images_it_is_undefined(network, whole):
    for batches in ([], [whole._replace(labels=torch.full_like(whole.labels, -1))]):
        point = masking_curve(masked(network), batches, ORDERS, [0, 1], ATTACK)["random"][1]
        assert [figure.n for figure in point] == [0, 0, 0, 0]
        assert all(math.isnan(figure.value) for figure in point)


def test_errors(network, whole):
    with pytest.raises(ValueError, match="numbers of masked units must rise from 0"):
        masking_curve(masked(network), [whole], ORDERS, [1, 2], ATTACK)
    with pytest.raises(ValueError, match=r"order 'sensitive' must have rankings of at least 9 units.*got \[8\]"):
        masking_curve(masked(network), [whole], ORDERS, [0, 9], ATTACK)
    with pytest.raises(ValueError, match="batches hold an image twice"):
        masking_curve(masked(network), [whole, whole], ORDERS, [0], ATTACK)
    once = iter([whole])
    with pytest.raises(ValueError, match="the same images each time"):
        masking_curve(masked(network), once, ORDERS, [0, 1], ATTACK)


def test_the_network_is_left_as_found(network, whole):
    network.train()
    masking_curve(masked(network), [whole], ORDERS, [0, 1], ATTACK)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert isinstance(network, nn.Module)
    network.eval()
