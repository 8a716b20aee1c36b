"""The l0 variant of C&W, against the closed form on linear networks."""

import pytest
import torch
from torch import nn

from advscope.attacks import CarliniWagner
from advscope.attacks.losses import margin
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.fewest_pixels import _without_least, fewest_pixels
from advscope.attacks.penalty.hinge import Hinge
from advscope.frozen import MicroBatched


def pixels(found, images):
    return (found != images).any(1).flatten(1).sum(1)


def fewest(images, slope, missing):
    """Return the fewest pixels with which each image's margin can grow so far: those of the largest gain first."""
    room = torch.where(slope > 0, 1 - images, images)
    gains = (slope.abs() * room).sum(1).flatten(1).sort(1, descending=True).values.cumsum(1)
    return (gains < missing[:, None]).sum(1) + 1


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_few_pixels_are_changed_where_few_can_do_it(share):
    generator = torch.Generator().manual_seed(3)
    slope = torch.randn(3, 8, 8, generator=generator, dtype=torch.float64).pow(3)
    images = torch.rand(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    network = nn.Sequential(nn.Flatten(), nn.Linear(slope.numel(), 2).double())
    with torch.no_grad():
        network[1].weight.copy_(torch.stack([-slope.flatten(), slope.flatten()]) / 2)
        top = (images.flatten(1) @ slope.flatten()).max()
        network[1].bias.copy_(torch.tensor([1.0, -1.0]) * (top + share * slope.abs().sum()) / 2)
    labels = torch.zeros(4, dtype=torch.int64)
    missing = -margin(network(images), labels)
    attack = CarliniWagner(steps=30, binary_search_steps=2, polish_steps=10, norm="L0")
    found = attack(network, images, labels)
    assert (margin(network(found), labels) > 0).all()
    optimum = fewest(images, slope, missing)
    changed = pixels(found, images)
    assert (changed >= optimum).all()
    assert (changed <= (1.35 * optimum).ceil() + 1).all(), (changed, optimum)
    # The l2 attack changes every pixel.
    assert (pixels(CarliniWagner(40, 3, polish_steps=30)(network, images, labels), images) == 64).all()


@pytest.mark.parametrize(("confidence", "targeted"), [(0.0, True), (1.0, False)])
def test_it_succeeds_with_its_margin_on_fewer_pixels_than_l2(confidence, targeted, residual, examples):
    network = residual(width=4, dtype=torch.float64)
    images, labels = examples(network, count=3, dtype=torch.float64)
    targets = (labels + 1) % 5 if targeted else None
    settings = {"steps": 20, "binary_search_steps": 1, "polish_steps": 4, "confidence": confidence}
    found = CarliniWagner(norm="L0", **settings)(network, images, labels, targets)
    assert (margin(network(found), labels, targets) >= max(confidence, 1e-12)).all()
    assert (pixels(found, images) < 72).all()
    mask = torch.zeros(3, 1, 12, 12, dtype=torch.bool)
    mask[..., 4:] = True
    held = CarliniWagner(norm="L0", **settings)(network, images, labels, targets, mask=mask)
    assert torch.equal(held[..., :4], images[..., :4])


def test_the_batch_does_not_matter_bit_by_bit(residual, examples):
    network = residual(width=4)
    images, labels = examples(network, count=4, shape=(3, 8, 8))
    attack = CarliniWagner(steps=6, binary_search_steps=1, polish_steps=2, norm="L0")
    whole = attack(MicroBatched(network, 4), images, labels)
    for rows in ([3], [2, 3, 1, 0]):
        assert torch.equal(attack(MicroBatched(network, 4), images[rows], labels[rows]), whole[rows])


def test_where_nothing_succeeds_the_last_image_comes_back(residual, examples):
    network = residual()
    images, labels = examples(network)
    attack = CarliniWagner(steps=5, binary_search_steps=1, polish_steps=2, norm="L0", confidence=1e6)
    found = attack(network, images, labels)
    assert (found != images).flatten(1).any(1).all()
    already = CarliniWagner(steps=5, norm="L0")(network, images, (labels + 1) % 5)
    assert torch.equal(already, images)


def test_the_least_pixels_leave_first():
    owed = torch.tensor([[0.5, 0.1, -torch.inf, 0.3], [1.0, -torch.inf, -torch.inf, -torch.inf]]).view(2, 1, 2, 2)
    left, given_back = _without_least(owed, torch.tensor([0.7, 0.5]))
    assert left[0].flatten().tolist() == [True, False, False, False]
    assert not left[1].any()
    # At least one leaves.
    assert given_back.tolist() == [2, 1]


def test_no_round_is_run_twice(residual, examples):
    network = residual(width=4, dtype=torch.float64)
    images, labels = examples(network, count=3, dtype=torch.float64)
    settings = {"steps": 20, "binary_search_steps": 1, "polish_steps": 4}
    for row, confidence in enumerate((1.0, 2.0, 2.0)):
        rounds, label = [], labels[row : row + 1]

        def attack(hinge, box, rounds=rounds, confidence=confidence):
            rounds.append((box.upper > box.lower).flatten().tolist())
            return CarliniWagner(confidence=confidence, **settings).minimise(hinge, box)

        found = fewest_pixels(Hinge(network, label, None, confidence), Box.around(images[row : row + 1]), attack)
        assert len(rounds) > 3
        assert len({tuple(pixels) for pixels in rounds}) == len(rounds)
        # The search went on until a single pixel was too many, or 3% of them.
        changed = pixels(found, images[row : row + 1]).item()
        assert 1 <= changed - sum(rounds[-1][:144]) <= max(1, 0.04 * changed)
