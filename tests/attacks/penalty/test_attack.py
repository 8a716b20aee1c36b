"""Tests of what the attacks on the shared search promise alike: success, invariance, bounds, ends, refusals."""

import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from advscope.attacks import CarliniWagner, ElasticNet, Refined, Structured
from advscope.attacks.losses import margin
from advscope.frozen import MicroBatched
from advscope.measures import SignificantCells

KINDS = {
    "box": (CarliniWagner, {"learning_rate": 0.05}),
    "tanh": (CarliniWagner, {"learning_rate": 0.1, "variable": "tanh"}),
    "elastic": (ElasticNet, {"beta": 0.05, "learning_rate": 0.02}),
    "elastic L1, published": (ElasticNet, {"decision_rule": "L1", "shrinkage": "published", "learning_rate": 0.05}),
    "structured": (Structured, {"cell_size": 2, "penalty": 15.0, "damping": 5.0}),
    "structured, overlapping": (Structured, {"cell_size": 3, "stride": 2, "eps": 0.9, "penalty": 15.0, "damping": 5.0}),
    "structured, published": (Structured, {"cell_size": 2, "published_weights": True, "penalty": 15.0, "damping": 5.0}),
}

MAIN = ["box", "tanh", "elastic", "structured", "structured, overlapping"]


def made(kind, **settings):
    """Return an attack of few steps, or of as many as said; its settings are explicit where results hang on them."""
    of, own = KINDS[kind]
    return of(**{"steps": 40, "binary_search_steps": 3, "polish_steps": 8} | own | settings)


@pytest.mark.parametrize(
    ("kind", "confidence", "targeted"),
    [
        ("box", 0.0, True),
        ("tanh", 5.0, False),
        ("elastic", 5.0, False),
        ("structured", 1.0, True),
    ],
)
def test_with_enough_steps_every_image_gives_way(kind, confidence, targeted, smooth):
    network, images, labels = smooth(count=3)
    targets = (labels + 2) % 5 if targeted else None
    attack = made(kind, steps=250, binary_search_steps=5, confidence=confidence, polish_steps=0)
    found = attack(network, images, labels, targets)
    margins = margin(network(found), labels, targets)
    assert (margins >= confidence).all()
    assert found.min() >= 0
    assert found.max() <= 1
    if confidence:  # and no further than it has to: a nearest image lies on the border of what is asked
        assert (margins <= confidence + 0.5).all()


def highest(network, image, target):
    """Return the highest margin of the target that scipy finds from a few starts."""

    def loss(flat):
        point = torch.tensor(flat).view(1, *image.shape).requires_grad_()
        value = -margin(network(point), target[None], target[None])[0]
        return value.item(), torch.autograd.grad(value, point)[0].flatten().numpy()

    starts = [image.flatten(), *torch.rand(4, image.numel(), generator=torch.Generator().manual_seed(0)).double()]
    bounds = [(0, 1)] * image.numel()
    return max(-minimize(loss, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds).fun for start in starts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("confidence", "targeted"), [(0.0, False), (5.0, True)])
def test_success_is_the_margin_that_is_asked_for(kind, confidence, targeted, smooth):
    network, images, labels = smooth(count=5)
    labels[2] = (labels[2] + 1) % 5
    targets = (labels + 2) % 5 if targeted else None
    attack = made(kind, confidence=confidence, steps=60)
    found = attack(network, images, labels, targets)
    clean, margins = margin(network(images), labels, targets), margin(network(found), labels, targets)
    done = clean >= confidence if confidence else clean > 0
    assert torch.equal(found[done], images[done])
    kept = margins >= confidence
    for row in (~kept).nonzero().flatten().tolist():  # no image at all has the margin
        assert targeted
        assert highest(network, images[row], targets[row]) < confidence
    assert kept.sum() >= 4
    # What is kept is not far beyond what is asked for.
    assert (margins[kept & ~done] <= confidence + 1.5).all()


@pytest.mark.parametrize("kind", MAIN)
def test_does_not_depend_on_the_batch(kind, smooth):
    network, images, labels = smooth(count=6)
    mask = torch.rand(6, 1, 5, 5, generator=torch.Generator().manual_seed(0)) < 0.8
    targets = (labels + 1) % 5

    def run(rows):
        return made(kind, steps=20)(network, images[rows], labels[rows], targets[rows], mask=mask[rows])

    whole = run(list(range(6)))
    for rows in ([3], [5, 4, 4, 2, 0]):
        torch.testing.assert_close(run(rows), whole[rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "norm", "steps"),
    # More steps than bfloat16 can count.
    [
        (torch.float16, "L2", 30),
        (torch.bfloat16, "L2", 300),
        (torch.bfloat16, "Linf", 300),
        (torch.float16, "L0", 10),
    ],
)
def test_in_16_bits_only_the_network_is_coarse(dtype, norm, steps, smooth):
    network, images, labels = smooth(count=2)
    attack = CarliniWagner(steps, 1, confidence=3, polish_steps=8, norm=norm)
    exact = attack(network.float(), images.float(), labels) - images
    found = attack(network.to(dtype), images.to(dtype), labels)
    assert found.dtype == dtype
    assert (margin(network(found), labels) >= 3).all()
    largest = (found.double() - images.to(dtype)).abs().flatten(1).amax(1)
    torch.testing.assert_close(largest, exact.abs().flatten(1).amax(1), rtol=0.1, atol=0.0)


class Transformed(nn.Module):
    """A network whose logits are scaled and shifted."""

    def __init__(self, network, scale=1.0, shift=0.0):
        super().__init__()
        self.network, self.scale, self.shift = network, scale, shift

    def forward(self, images):
        return self.scale * self.network(images) + self.shift


@pytest.mark.parametrize("kind", MAIN)
def test_does_not_depend_on_the_logits_level(kind, smooth):
    network, images, labels = smooth(count=5)
    plain = made(kind, confidence=0.5)(network, images, labels)
    assert (margin(network(plain), labels) >= 0.5).all()
    shifted = made(kind, confidence=0.5)(Transformed(network, shift=-100.0), images, labels)
    torch.testing.assert_close(shifted, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", MAIN)
def test_does_not_depend_on_the_logits_scale(kind, smooth):
    network, images, labels = smooth(count=5, dtype=torch.float32)
    norms = {}
    for scale in (1e-3, 1.0, 1e3):
        attack = made(kind, confidence=scale * 0.5)
        found = attack(Transformed(network, scale), images, labels)
        assert (margin(network(found).double(), labels) >= 0.5 - 1e-4).all()
        norms[scale] = attack.worth(found - images)
    for scale in (1e-3, 1e3):
        torch.testing.assert_close(norms[scale], norms[1.0], rtol=0.02, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_black_and_white_alone_are_moved(kind, smooth):
    network, images, _ = smooth(count=6)
    images = images.round()
    labels = network(images).argmax(1)
    found = made(kind)(network, images, labels)
    assert (network(found).argmax(1) != labels).all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_unreachable_goal_ends_in_something_valid(kind, smooth):
    class Indifferent(nn.Module):
        def forward(self, images):
            nothing = images.sum((1, 2, 3)) * 0
            return torch.stack([nothing + 3, nothing], dim=1)

    attack, labels = made(kind, steps=20), torch.zeros(3, dtype=torch.int64)
    images = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(attack(Indifferent(), images, labels), images)
    network, images, labels = smooth(count=4)
    mask = torch.zeros(4, 1, 5, 5, dtype=torch.bool)
    mask[3] = True
    found = attack(network, images, labels, mask=mask)
    assert torch.equal(found[:3], images[:3])
    assert network(found[3:]).argmax(1) != labels[3]
    # A margin that no image has: the last image is returned, in range.
    impossible = made(kind, confidence=1e6, steps=10)(network, images, labels)
    assert impossible.isfinite().all()
    assert impossible.min() >= 0
    assert impossible.max() <= 1
    assert (impossible != images).flatten(1).any(1).all()


class Holed(nn.Module):
    """Brightness decides, and beyond 0.58 the answer is nan."""

    def forward(self, images):
        bright = images.mean((1, 2, 3))
        logit = 30 * (bright - 0.55) + 0 * (0.58 - bright).log()
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "elastic L1, published"])
def test_an_image_that_the_network_answers_with_nan_is_no_success(kind):
    images = torch.tensor([0.4, 0.52, 0.549]).double().view(3, 1, 1, 1).repeat(1, 3, 5, 5)
    labels = torch.zeros(3, dtype=torch.int64)
    found = made(kind)(Holed(), images, labels)
    assert found.isfinite().all()
    margins = margin(Holed()(found), labels)
    assert not margins.isnan().any()
    assert (margins > 0).all()
    # A network that begins with nan is named.
    with pytest.raises(ValueError, match="the network returned nan logits"):
        made(kind)(Holed(), images + 0.3, labels)


@pytest.mark.parametrize("kind", MAIN)
def test_pixels_outside_the_mask_are_bit_identical(kind, smooth):
    network, images, labels = smooth(count=6, dtype=torch.float32)
    mask = torch.rand(6, 1, 5, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    with torch.inference_mode():
        found = made(kind)(network, images, labels, mask=mask)
    outside = ~mask.expand_as(images)
    assert torch.equal(found[outside], images[outside])
    assert (network(found).argmax(1) != labels).sum() >= 5


class Colours(nn.Module):
    """A small convolutional network, and what passes through it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(8 * 16, 6),
        )  # fmt: skip
        with torch.no_grad():
            self.layers[-1].weight *= 8
            self.layers[-1].bias -= self.layers(torch.rand(64, 3, 7, 7)).mean(0)

    def forward(self, images):
        return self.layers(images)


def colourful(device="cpu"):
    """Return a micro-batched network and images, easy and hard ones, and some that are fooled already."""
    network = MicroBatched(Colours().eval(), size=8).to(device)
    images = torch.rand(11, 3, 7, 7, generator=torch.Generator().manual_seed(2)).to(device)
    labels = network(images).argmax(1)
    labels[[5, 9]] = (labels[[5, 9]] + 1) % 6
    return network, images, labels


def assert_bit_identical(kind, device="cpu"):
    network, images, labels = colourful(device)
    attack = made(kind, steps=20)

    def run(rows):
        rows = torch.tensor(rows, device=device)
        return attack(network, images[rows], labels[rows])

    whole = run(list(range(11)))
    assert (network(whole).argmax(1) != labels).sum() >= 9
    for rows in ([10], [7, 5, 9], list(range(10, -1, -1))):
        assert torch.equal(run(rows), whole[torch.tensor(rows, device=device)])


@pytest.mark.parametrize("kind", MAIN)
def test_is_bit_identical_in_float32_on_micro_batches(kind):
    assert_bit_identical(kind)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_is_bit_identical_in_float32_on_micro_batches_on_a_gpu(kind):
    assert_bit_identical(kind, "cuda")


@pytest.mark.parametrize("kind", ["box", "elastic", "structured"])
def test_an_interruption_at_any_moment_leaves_the_network_as_found(kind, smooth):
    network, images, labels = smooth(count=3)
    network.train()
    network[1].eval()
    network[3].bias.requires_grad_(False)
    attack, calls = made(kind, steps=10, binary_search_steps=2, polish_steps=3, abort_early=False), 0

    def interrupt(*_):
        nonlocal calls
        calls += 1
        if calls == moment:
            raise KeyboardInterrupt

    network.register_forward_hook(interrupt)
    for moment in (1, 15, 22):
        calls = 0
        with pytest.raises(KeyboardInterrupt):
            attack(network, images, labels)
        assert calls == moment
        assert [module.training for module in network] == [True, False, True, True]
        assert [parameter.requires_grad for parameter in network.parameters()] == [True, True, True, False]


@pytest.mark.parametrize("kind", MAIN)
def test_is_held_to_a_region_by_refined(kind, smooth):
    network, images, labels = smooth(shape=(3, 6, 6), count=5)
    attack = made(kind)
    found = Refined(attack, SignificantCells(2))(network, images, labels)
    first = attack(network, images, labels)
    region = SignificantCells(2)(network, images, first, labels, network(first).argmax(1))
    outside = ~region.expand_as(images)
    assert outside.flatten(1).any(1).all()
    assert torch.equal(found[outside], images[outside])
    succeeded = network(found).argmax(1) != labels
    assert succeeded.sum() >= 3
    assert Refined(attack, SignificantCells(2)).confidence == attack.confidence


REFUSED = [
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"steps": 2.0}, "steps must be a whole number, got 2.0"),
    ({"steps": True}, "steps must be a whole number, got True"),
    ({"binary_search_steps": 0}, "binary_search_steps must be at least 1, got 0"),
    ({"confidence": -1}, "confidence must be a number and not negative, got -1"),
    ({"confidence": float("nan")}, "confidence must be a number and not negative, got nan"),
    ({"initial_constant": 0}, "initial_constant must be above 0, got 0"),
    ({"initial_constant": -1.0}, "initial_constant must be a number and not negative, got -1.0"),
    ({"abort_early": 1}, "abort_early must be true or false, got 1"),
    ({"abort_early": "no"}, "abort_early must be true or false, got 'no'"),
    ({"polish_steps": -1}, "polish_steps must be at least 0, got -1"),
]


@pytest.mark.parametrize("attack", [CarliniWagner, ElasticNet, Structured])
@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_bad_settings_are_named(attack, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        attack(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["box", "elastic", "structured"])
def test_bad_input_is_named_before_any_work(kind, smooth):
    network, images, labels = smooth(count=3)
    passes = []
    network.register_forward_hook(lambda *_: passes.append(1))
    attack = made(kind)
    for arguments, message in [
        ((images, labels, labels), "targets must differ from labels, got . twice"),
        ((images + 1, labels), r"images must be in \[0, 1\]"),
        ((images, labels[:2]), r"labels must be int64 of shape \(3,\)"),
        ((images, labels, torch.full((3,), 9)), "targets must be in 0 ... 4, the network's classes, got 9"),
    ]:
        passes.clear()
        with pytest.raises(ValueError, match=message) as error:
            attack(network, *arguments)
        assert "\n" not in str(error.value)
        assert len(passes) <= 1
    for wrong, message in [
        (lambda x: network(x) * float("nan"), "the network returned nan logits"),
        (lambda x: network(x).softmax(1), "the network must return logits, got probabilities"),
        (lambda x: network(x).detach(), "have no gradient towards the images"),
    ]:

        class Wrong(nn.Module):
            def forward(self, x, wrong=wrong):
                return wrong(x)

        passes.clear()
        with pytest.raises(ValueError, match=message) as error:
            attack(Wrong(), images, labels)
        assert "\n" not in str(error.value)
        assert len(passes) == 1
