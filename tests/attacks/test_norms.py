"""Tests of the balls."""

import math

import pytest
import torch

from advscope.attacks.norms import BALLS, L2Ball, LinfBall, _normalize
from advscope.counter_hash import uniform


def images(count=4, shape=(3, 5, 7), value=None):
    if value is not None:
        return torch.full((count, *shape), value)
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def test_linf_step_by_hand():
    # 0.5 + 0.2 is pulled back to 0.5 + 0.1; 0.95 + 0.2 to 1 (its ball ends at 1.05); no gradient, no move.
    centre = torch.tensor([0.5, 0.95, 0.3]).view(1, 3, 1, 1)
    gradients = torch.tensor([3.0, 0.1, 0.0]).view(1, 3, 1, 1)
    moved = LinfBall(centre, 0.1).step(centre, gradients, 0.2)
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.6, 1.0, 0.3]))


def test_l2_step_by_hand():
    # The direction of (3, 4) is (0.6, 0.8). A step of 0.1 stays inside the ball; one of 0.5 is shortened to 0.2.
    centre = torch.tensor([0.5, 0.5]).view(1, 2, 1, 1)
    gradients = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    ball = L2Ball(centre, 0.2)
    torch.testing.assert_close(ball.step(centre, gradients, 0.1).flatten(), torch.tensor([0.56, 0.58]))
    torch.testing.assert_close(ball.step(centre, gradients, 0.5).flatten(), torch.tensor([0.62, 0.66]))


@pytest.mark.parametrize("scale", [1e-30, 1e-44, 1e30])
def test_l2_direction_survives_gradients_whose_squares_do_not(scale):
    centre = images(2, value=0.5)
    gradients = torch.full_like(centre, scale)
    moved = L2Ball(centre, 1.0).step(centre, gradients, 0.5)
    # 105 equal values at length 0.5.
    torch.testing.assert_close(moved, centre + 0.5 / math.sqrt(105))


@pytest.mark.parametrize("norm", BALLS)
def test_without_a_gradient_nothing_moves(norm):
    centre = images()
    moved = BALLS[norm](centre, 0.1).step(centre, torch.zeros_like(centre), 0.3)
    assert torch.equal(moved, centre)


@pytest.mark.parametrize("norm", BALLS)
def test_noise_stays_in_the_ball_and_fills_it(norm):
    eps = 0.2
    centre = images(400, (1, 2, 2), value=0.5)
    noise = (BALLS[norm](centre, eps).draw(torch.arange(400), 0, 0, 0) - centre).flatten(1).double()
    if norm == "Linf":
        radius = noise.abs().amax(1) / eps
        assert noise.mean().abs() < 4 * eps / math.sqrt(3 * 1600)
    else:
        radius = noise.norm(dim=1) / eps
        assert noise.mean(0).norm() < 0.1 * eps
    assert radius.max() <= 1 + 1e-6
    # In either ball of 4 dimensions the radius has the distribution r^4: its fourth power is uniform.
    quantiles = radius.pow(4).sort().values
    uniform_quantiles = (torch.arange(400) + 0.5) / 400
    assert (quantiles - uniform_quantiles).abs().max() < 1.63 / math.sqrt(400)  # Kolmogorov-Smirnov, 1%


def test_linf_noise_is_the_hash_of_its_counters():
    centre = images(2, (2, 2, 3), value=0.5)
    noise = LinfBall(centre, 0.25).draw(torch.tensor([7, 9]), 3, 2, 1)
    for row, index in enumerate((7, 9)):
        for place in range(12):  # in (C, H, W) order
            expected = 0.5 + (2 * uniform(3, 2, 1, torch.tensor(index), place) - 1) * 0.25
            assert noise[row].flatten()[place] == expected


@pytest.mark.parametrize("norm", BALLS)
def test_memory_format_and_neighbours_change_no_bit(norm):
    centre, gradients = images(5), torch.randn(5, 3, 5, 7)
    indices = torch.tensor([4, 8, 15, 16, 23])

    def both(centre, gradients, indices):
        ball = BALLS[norm](centre, 0.3)
        return ball.draw(indices, 0, 0, 0), ball.step(ball.draw(indices, 0, 0, 0), gradients, 0.2)

    whole = both(centre, gradients, indices)
    last = torch.channels_last
    turned = both(centre.contiguous(memory_format=last), gradients.contiguous(memory_format=last), indices)
    alone = both(centre[2:3], gradients[2:3], indices[2:3])
    for plain, channels_last, lone in zip(whole, turned, alone, strict=True):
        assert torch.equal(channels_last, plain)
        assert channels_last.is_contiguous(memory_format=last)
        assert torch.equal(lone[0], plain[2])


def test_lengths_of_large_lone_images_do_not_depend_on_threads():
    # torch.sum splits one long row over threads, but not two; the sums of squares then differ in the last bit.
    vectors = torch.rand(8, 3 * 224 * 224, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together = _normalize(vectors)[1]
        alone = torch.cat([_normalize(vector[None])[1] for vector in vectors])
        torch.set_num_threads(1)
        assert torch.equal(_normalize(vectors)[1], together)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)
    torch.testing.assert_close(together[:, 0].double(), vectors.double().norm(dim=1), rtol=1e-6, atol=0)


def corner(count=1, size=2, height=5, width=7):
    """Return a mask of the upper left corner."""
    mask = torch.zeros(count, 1, height, width, dtype=torch.bool)
    mask[:, :, :size, :size] = True
    return mask


@pytest.mark.parametrize("norm", BALLS)
def test_a_masked_step_is_that_of_the_cut_out_image(norm):
    # Neither the huge gradients outside nor what could be spent there counts for the budget inside.
    centre, mask = images(3, value=0.5), corner(3)
    gradients = torch.randn(3, 3, 5, 7, generator=torch.Generator().manual_seed(5))
    gradients[~mask.expand_as(gradients)] *= 1e6
    iterates = centre.clone()
    iterates[:, :, 0, 1] += 0.05
    moved = BALLS[norm](centre, 0.2, mask).step(iterates, gradients, 0.15)
    cut = BALLS[norm](centre[..., :2, :2], 0.2).step(iterates[..., :2, :2], gradients[..., :2, :2], 0.15)
    torch.testing.assert_close(moved[..., :2, :2], cut, rtol=0, atol=1e-7)
    outside = ~mask.expand_as(centre)
    assert torch.equal(moved[outside], centre[outside])


@pytest.mark.parametrize("gradient", [float("inf"), float("nan")])
def test_a_useless_gradient_outside_spoils_nothing_inside(gradient):
    centre, mask = images(1, value=0.5), corner()
    gradients = torch.full_like(centre, gradient)
    gradients[..., :2, :2] = 1
    moved = L2Ball(centre, 1.0, mask).step(centre, gradients, 0.12)
    torch.testing.assert_close(moved[..., :2, :2], centre[..., :2, :2] + 0.12 / math.sqrt(12))


def test_masked_l2_noise_fills_the_ball_of_the_values_inside():
    # 4 values of 105 are inside: the fourth power of the radius is uniform, not the 105th.
    eps = 0.2
    centre, mask = images(400, (1, 5, 7), value=0.5), corner(400)
    noise = (L2Ball(centre, eps, mask).draw(torch.arange(400), 0, 0, 0) - centre).double()
    assert noise[~mask].abs().max() == 0
    quantiles = (noise.flatten(1).norm(dim=1) / eps).pow(4).sort().values
    uniform_quantiles = (torch.arange(400) + 0.5) / 400
    assert (quantiles - uniform_quantiles).abs().max() < 1.63 / math.sqrt(400)  # Kolmogorov-Smirnov, 1%


def test_masked_linf_noise_is_the_noise_without_mask_inside():
    centre, mask, indices = images(2), corner(2), torch.tensor([7, 9])
    whole = LinfBall(centre, 0.25).draw(indices, 3)
    assert torch.equal(LinfBall(centre, 0.25, mask).draw(indices, 3), torch.where(mask, whole, centre))


@pytest.mark.parametrize("norm", BALLS)
def test_an_empty_mask_holds_everything_still(norm):
    centre = images()
    ball = BALLS[norm](centre, 0.25, torch.zeros(4, 1, 5, 7, dtype=torch.bool))
    assert torch.equal(ball.draw(torch.arange(4), 0), centre)
    assert torch.equal(ball.step(centre, torch.ones_like(centre), 0.1), centre)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("norm", BALLS)
def test_noise_is_the_same_on_cpu_and_gpu(norm):
    centre, indices = images(16, (3, 32, 32)), torch.arange(16) * 1000
    cpu = BALLS[norm](centre, 0.5).draw(indices, 1, 2, 3)
    gpu = BALLS[norm](centre.cuda(), 0.5).draw(indices.cuda(), 1, 2, 3).cpu()
    if norm == "Linf":
        assert torch.equal(gpu, cpu)
    else:  # the devices' logarithms and cosines differ in the last bit of float64
        torch.testing.assert_close(gpu, cpu, rtol=0, atol=1e-6)
