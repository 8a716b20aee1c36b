"""Tests of projected gradient descent, and of its short forms FGSM and IFGSM."""

import pytest
import torch
from torch import nn

from advscope.attacks import FGSM, IFGSM, PGD
from advscope.attacks.losses import LOSSES
from advscope.frozen import MicroBatched


def linear(classes, size=18, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(size, classes)).double()


def linear_images(count=5):
    return torch.rand(count, 2, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 0.4 + 0.3


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("attack", [FGSM, IFGSM, PGD])
def test_linf_reaches_the_optimum_of_a_linear_network(attack, targeted, loss):
    # Of two classes, logit t minus logit y is (w_t - w_y) . x + b: largest in the box at x + eps * sign(w_t - w_y).
    network, images, labels = linear(2), linear_images(), torch.tensor([0, 1, 0, 1, 1])
    weight = network[1].weight.detach()
    eps = 0.4  # some optima lie outside [0, 1]
    optimum = (images + eps * (weight[1 - labels] - weight[labels]).sign().view(images.shape)).clamp(0, 1)
    # From anywhere in the ball, 20 steps of eps / 10 reach its wall.
    settings = {PGD: {"step_size": eps / 10}, IFGSM: {}, FGSM: {}}[attack]
    found = attack(eps=eps, loss=loss, **settings)(network, images, labels, 1 - labels if targeted else None)
    assert ((optimum == 0) | (optimum == 1)).any()
    torch.testing.assert_close(found, optimum, rtol=0, atol=1e-12)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("attack", [FGSM, IFGSM])
def test_l2_reaches_the_optimum_of_a_linear_network(attack, targeted):
    # In the ball around x the optimum is x + eps * (w_t - w_y) / ||w_t - w_y||; far from the walls of [0, 1].
    network, images, labels = linear(2), linear_images(), torch.tensor([0, 1, 0, 1, 1])
    weight = network[1].weight.detach()
    slope = weight[1 - labels] - weight[labels]
    optimum = images + 0.25 * (slope / slope.norm(dim=1, keepdim=True)).view(images.shape)
    found = attack(eps=0.25, norm="L2")(network, images, labels, 1 - labels if targeted else None)
    torch.testing.assert_close(found, optimum, rtol=0, atol=1e-12)


def test_l2_from_a_random_start_goes_to_the_optimum():
    network, images, labels = linear(2), linear_images(), torch.tensor([0, 1, 0, 1, 1])
    weight = network[1].weight.detach()
    slope = weight[1 - labels] - weight[labels]
    optimum = images + 0.25 * (slope / slope.norm(dim=1, keepdim=True)).view(images.shape)
    found = PGD(eps=0.25, step_size=0.05, steps=200, norm="L2")(network, images, labels)
    torch.testing.assert_close(found, optimum, rtol=0, atol=1e-4)


@pytest.mark.parametrize("targeted", [False, True])
def test_linf_is_that_of_torchattacks(targeted, residual, examples):
    torchattacks = pytest.importorskip("torchattacks")
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    peer = torchattacks.PGD(network, eps=0.1, alpha=0.03, steps=7, random_start=False)
    targets = (labels + 2) % 5 if targeted else None
    if targeted:
        peer.set_mode_targeted_by_label(quiet=True)
    theirs = peer(images, labels if targets is None else targets)
    ours = PGD(eps=0.1, step_size=0.03, steps=7, random_start=False)(network, images, labels, targets)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_l2_is_that_of_torchattacks(residual, examples):
    torchattacks = pytest.importorskip("torchattacks")
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    theirs = torchattacks.PGDL2(network, eps=1.0, alpha=0.3, steps=7, random_start=False)(images, labels)
    ours = PGD(eps=1.0, step_size=0.3, steps=7, norm="L2", random_start=False)(network, images, labels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_constant_on_all_logits_changes_nothing(loss, residual, examples):
    class Shifted(nn.Module):
        def __init__(self, network, shift):
            super().__init__()
            self.network, self.shift = network, shift

        def forward(self, images):
            return self.network(images) + self.shift

    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    attack = PGD(steps=4, loss=loss, keep="loss", restarts=2)
    plain = attack(network, images, labels)
    for shift in (-100.0, 100.0):
        torch.testing.assert_close(attack(Shifted(network, shift), images, labels), plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.05), ("L2", 0.8)])
def test_stays_in_the_ball_and_the_range(norm, eps, residual, examples):
    network = residual()
    images, labels = examples(network)
    images[0], images[1] = 0, 1
    found = PGD(eps=eps, step_size=eps, steps=5, norm=norm)(network, images, labels)
    perturbations = (found - images).flatten(1).double()
    size = perturbations.abs().amax(1) if norm == "Linf" else perturbations.norm(dim=1)
    assert size.max() <= eps * (1 + 1e-5)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_noise_is_a_function_of_seed_draw_and_index(norm):
    network, images = linear(3), torch.full((4, 2, 3, 3), 0.5, dtype=torch.float64)
    labels, indices = torch.zeros(4, dtype=torch.int64), torch.tensor([10, 20, 20, 30])

    def start(seed=0, draw=0, rows=(0, 1, 2, 3)):
        rows = list(rows)
        attack = PGD(eps=0.2, steps=0, norm=norm, seed=seed)
        return attack(network, images[rows], labels[rows], indices=indices[rows], draw=draw)

    first = start()
    assert torch.equal(first, start())
    assert torch.equal(first[1], first[2])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(start(rows=[3]), first[[3]])
    assert torch.equal(start(rows=[3, 1, 0]), first[[3, 1, 0]])
    for other in (start(seed=1), start(draw=1), start(draw=-1)):
        assert (other != first).flatten(1).any(1).all()
    torch.manual_seed(99)
    assert torch.equal(start(), first)


def test_indices_default_to_the_places_in_the_batch():
    network, images, labels = linear(3), linear_images(3), torch.tensor([0, 1, 2])
    attack = PGD(steps=1)
    given = attack(network, images, labels, indices=torch.arange(3))
    assert torch.equal(attack(network, images, labels), given)


def test_each_restart_has_noise_of_its_own():
    # Out of reach and without steps: the best of six starts beats the first of them on most of 40 images.
    network, images = linear(2), linear_images(40)
    labels = network(images).argmax(1)
    first, best = (
        LOSSES["margin"](network(PGD(1e-6, steps=0, restarts=restarts)(network, images, labels)), labels, None)
        for restarts in (1, 6)
    )
    assert (best >= first).all()
    assert (best > first).float().mean() > 0.5  # 5/6 is expected


@pytest.mark.parametrize("keep", ["last", "loss"])
@pytest.mark.parametrize("loss", LOSSES)
def test_restarts_never_weaken(keep, loss, residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, count=24, dtype=torch.float64)
    previous_loss, previous = None, None
    counts = []
    for restarts in (1, 2, 4):
        found = PGD(0.012, 0.006, 3, loss=loss, keep=keep, restarts=restarts)(network, images, labels)
        logits = network(found)
        success, value = logits.argmax(1) != labels, LOSSES[loss](logits, labels, None).detach()
        if previous is not None:
            assert (success | ~previous).all()
            assert (value[~success] >= previous_loss[~success] - 1e-12).all()
        previous, previous_loss = success, value
        counts.append(int(success.sum()))
    assert 0 < counts[0] < 24


def test_the_first_success_in_order_is_returned(residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, count=24, dtype=torch.float64)
    single = PGD(0.012, 0.006, 3)(network, images, labels)
    several = PGD(0.012, 0.006, 3, restarts=4)(network, images, labels)
    success = network(single).argmax(1) != labels
    assert success.any()
    assert torch.equal(several[success], single[success])


def test_a_success_is_returned_whatever_its_loss():
    class Steps(nn.Module):
        """Bright images are mistaken, at a lower cross-entropy than dark ones are recognised.

        Label 0: dark, logits (0, -0.1, -0.1), log(1 + 2 exp(-0.1)) = 1.03; bright, (0, 0.1, -5), log(2.11) = 0.75.
        """

        def forward(self, images):
            bright = images[:, :, 0, 0] > 0.5
            return torch.where(bright, torch.tensor([0, 0.1, -5.0]), torch.tensor([0, -0.1, -0.1]))

    images, labels = torch.full((50, 1, 1, 1), 0.5), torch.zeros(50, dtype=torch.int64)
    first, best = (
        PGD(eps=0.2, steps=0, restarts=restarts)(Steps(), images, labels).flatten() > 0.5 for restarts in (1, 12)
    )
    assert 10 < first.sum() < 40
    assert best.all()


def test_the_highest_loss_is_kept(residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, count=12, dtype=torch.float64)
    # Steps of the whole ball overshoot.
    settings = {"eps": 0.1, "step_size": 0.2, "steps": 6, "loss": "cross_entropy"}

    def losses(images):
        return LOSSES["cross_entropy"](network(images), labels, None).detach()

    last = losses(PGD(**settings)(network, images, labels))
    kept = losses(PGD(**settings, keep="loss")(network, images, labels))
    best = torch.stack([losses(PGD(**settings | {"steps": steps})(network, images, labels)) for steps in range(7)])
    assert (kept >= last - 1e-12).all()
    assert (kept > last + 1e-6).any()
    torch.testing.assert_close(kept, best.amax(0))


def test_the_margin_breaks_a_network_that_masks_the_gradients_of_cross_entropy():
    # Logits in the ten thousands: in float32 the softmax is exactly one-hot, and the cross-entropy's gradient zero.
    network, images = linear(4).float(), linear_images(20).float()
    network[1].weight.data *= 1e5
    labels = network(images).argmax(1)
    attack = {"eps": 0.3, "step_size": 0.1, "steps": 10, "random_start": False}
    masked = network(PGD(**attack)(network, images, labels)).argmax(1) == labels
    for loss in ("margin", "dlr"):
        broken = network(PGD(**attack, loss=loss)(network, images, labels)).argmax(1) == labels
        assert masked.float().mean() > 0.8
        assert broken.float().mean() < 0.2


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_budget_of_zero_returns_the_clean_images(norm):
    images = linear_images()
    found = PGD(eps=0, norm=norm)(linear(3), images, torch.zeros(5, dtype=torch.int64))
    assert torch.equal(found, images)
    assert found.data_ptr() != images.data_ptr()


def test_no_steps_return_the_start():
    images, labels = linear_images(), torch.zeros(5, dtype=torch.int64)
    assert torch.equal(PGD(steps=0, random_start=False)(linear(3), images, labels), images)
    assert torch.equal(IFGSM(steps=0)(linear(3), images, labels), images)
    start = PGD(eps=0.2, steps=0)(linear(3), images, labels)
    assert 0.1 < (start - images).abs().max() <= 0.2 + 1e-7


def test_a_gradient_of_nan_moves_nothing():
    class Rooted(nn.Module):
        def forward(self, images):
            # The square root's gradient at 0 times 0 is nan.
            return torch.stack([(images * 0).sqrt().sum((1, 2, 3)), images.sum((1, 2, 3)) - 8], dim=1)

    images = torch.full((1, 1, 4, 4), 0.5)
    for norm in ("Linf", "L2"):
        assert torch.equal(PGD(norm=norm, random_start=False)(Rooted(), images, torch.tensor([0])), images)


@pytest.mark.parametrize("settings", [
    {"steps": 4}, {"steps": 4, "norm": "L2", "eps": 1.0, "step_size": 0.4},
    {"steps": 2, "norm": "L2", "eps": 0.2, "step_size": 0.1, "restarts": 3},
    {"steps": 2, "eps": 0.01, "restarts": 3, "loss": "dlr", "keep": "loss"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_on_micro_batches_no_bit_depends_on_the_batch(settings, channels, residual, examples):
    network = MicroBatched(residual(channels), size=4)
    images, labels = examples(network, count=11, shape=(channels, 12, 12))
    indices = torch.arange(11) + 100
    attack = PGD(**settings)

    def run(rows, images=images):
        return attack(network, images[rows], labels[rows], indices=indices[rows])

    whole = run(torch.arange(11))
    assert torch.equal(run(torch.arange(11), images.contiguous(memory_format=torch.channels_last)), whole)
    for rows in ([5], [10, 3, 5, 0], [5, 5, 1, 2, 8, 9], list(range(8))):
        assert torch.equal(run(torch.tensor(rows)), whole[rows])


def test_fgsm_is_one_step_of_pgd(residual, examples):
    network = residual()
    images, labels = examples(network)
    one = PGD(eps=0.1, step_size=0.1, steps=1, random_start=False)
    assert torch.equal(FGSM(eps=0.1)(network, images, labels), one(network, images, labels))


def test_ifgsm_divides_the_budget_among_its_steps():
    assert IFGSM(eps=0.5, steps=10).step_size == 0.05
    assert IFGSM(eps=0.5, step_size=0.1, steps=10).step_size == 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": -0.1}, "eps must be a number and not negative, got -0.1"),
        ({"eps": float("nan")}, "eps must be a number and not negative, got nan"),
        ({"eps": "8/255"}, "eps must be a number and not negative, got '8/255'"),
        ({"step_size": -1}, "step_size must be a number and not negative, got -1"),
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"norm": "L1"}, "norm must be one of 'Linf', 'L2', got 'L1'"),
        ({"loss": "hinge"}, "loss must be one of 'cross_entropy', 'margin', 'dlr', got 'hinge'"),
        ({"keep": "best"}, "keep must be one of 'last', 'loss', got 'best'"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"restarts": 2, "random_start": False}, "restarts must be 1 without a random start, got 2"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PGD(**settings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_runs_alike_on_cpu_and_gpu(residual, examples):
    network = residual(dtype=torch.float64)
    images, labels = examples(network, dtype=torch.float64)
    cpu = PGD(steps=5)(network, images, labels)
    gpu = PGD(steps=5)(network.cuda(), images.cuda(), labels)  # labels are moved
    torch.testing.assert_close(gpu.cpu(), cpu, rtol=0, atol=1e-6)
