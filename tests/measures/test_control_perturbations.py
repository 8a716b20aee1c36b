"""Control perturbations: what they keep exactly, what is random about them, and closed forms of their scores."""

import math

import numpy as np
import pytest
import torch

from advscope.measures import (
    cell_norms,
    grid_cells,
    interpretability_score,
    noise_control,
    shuffled_cells_control,
    shuffled_control,
)


def sparse(count=5, height=11, width=9, dtype=torch.float32):
    """Return perturbations of which about a fifth of the pixels is not zero, and the indices of their images."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(count, 3, height, width, generator=generator) / 30
    kept = torch.rand(count, 1, height, width, generator=generator) < 0.2
    return (values * kept).to(dtype), torch.arange(count) * 7 + 3


CONTROLS = {
    "noise": noise_control,
    "shuffled": shuffled_control,
    "cells": lambda perturbations, indices, seed=0: shuffled_cells_control(perturbations, indices, 4, seed),
}


def pixels(perturbation):
    """Return the pixels of an image, sorted."""
    return sorted(perturbation.flatten(1).T.tolist())


def test_noise_has_the_norm_and_is_normal():
    perturbations, indices = sparse(4, 60, 50, torch.float64)
    noise = noise_control(perturbations, indices)
    torch.testing.assert_close(noise.flatten(1).norm(dim=1), perturbations.flatten(1).norm(dim=1), rtol=1e-12, atol=0)
    for row in noise:
        values = np.sort((row / row.std()).flatten().numpy())
        assert abs(values.mean()) < 4 / math.sqrt(9000)
        # Kolmogorov-Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand.
        normal = 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))
        assert np.abs(normal - (np.arange(9000) + 0.5) / 9000).max() < 1.95 / math.sqrt(9000)
    flat = noise.flatten(1) / noise.flatten(1).norm(dim=1, keepdim=True)
    assert (flat @ flat.T - torch.eye(4)).abs().max() < 5 / math.sqrt(9000)  # the images' noises are independent


def test_shuffling_keeps_each_pixel():
    perturbations, indices = sparse()
    shuffled = shuffled_control(perturbations, indices)
    for row, source in zip(shuffled, perturbations, strict=True):
        assert pixels(row) == pixels(source)  # all channels together: norms and sparsity are kept exactly
        assert not torch.equal(row, source)
    orders = [
        tuple((row.sum(0) != 0).flatten().tolist())
        for row in shuffled_control(perturbations[:1].repeat(9, 1, 1, 1), torch.arange(9))
    ]
    assert len(set(orders)) == 9


@pytest.mark.parametrize(("height", "width", "size"), [(8, 8, 4), (11, 9, 4), (5, 12, 5), (6, 7, 1), (3, 3, 5)])
def test_shuffling_cells_keeps_each_cell(height, width, size):
    perturbations, indices = sparse(8, height, width, torch.float64)
    shuffled = shuffled_cells_control(perturbations, indices, size)
    for row, source in zip(shuffled, perturbations, strict=True):
        kept, found = (
            sorted(
                image[:, top:bottom, left:right].flatten().tolist() + [bottom - top, right - left]
                for top, left, bottom, right in grid_cells(height, width, size).tolist()
            )
            for image in (source, row)
        )
        assert kept == found
    theirs, ours = (cell_norms(given, size)[0].sum(1) for given in (perturbations, shuffled))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    if size == 5 and height == 3:
        assert torch.equal(shuffled, perturbations)  # a single cell
    else:
        assert not torch.equal(shuffled, perturbations)


def test_every_cell_comes_to_every_place_of_its_shape():
    # Cells numbered 1 ... 6 in 2 x 3 cells of 2 px, the last column clipped to one pixel.
    numbered = torch.zeros(1, 1, 4, 5)
    for number, (top, left, bottom, right) in enumerate(grid_cells(4, 5, 2).tolist(), 1):
        numbered[..., top:bottom, left:right] = number
    found = shuffled_cells_control(numbered.repeat(600, 1, 1, 1), torch.arange(600), 2)[:, 0, ::2, ::2].flatten(1)
    for place, shape in enumerate([(1, 2, 4, 5)] * 2 + [(3, 6)] + [(1, 2, 4, 5)] * 2 + [(3, 6)]):
        values, times = found[:, place].unique(return_counts=True)
        assert values.tolist() == sorted(shape)
        expected = 600 / len(shape)
        assert (times - expected).abs().max() < 4 * math.sqrt(expected)


def test_noise_scores_its_chance_level():
    perturbations, _ = sparse(200, 16, 16)
    heatmaps = torch.randn(200, 16, 16, generator=torch.Generator().manual_seed(1))
    result = interpretability_score(noise_control(perturbations, torch.arange(200)), heatmaps)
    # The share of the energy is Beta-distributed with mean b = the mask share and variance 2 b (1 - b) / (n + 2), so
    # the score's mean is sqrt(b) - (1 - b) / (4 sqrt(b) (n + 2)), and the rest is of order 1 / n^2.
    share, n = result.mask_share[0].item(), 3 * 16 * 16
    expected = math.sqrt(share) - (1 - share) / (4 * math.sqrt(share) * (n + 2))
    deviation = math.sqrt((1 - share) / (2 * (n + 2)) / 200)
    assert result.score.mean().item() == pytest.approx(expected, abs=4 * deviation)
    assert abs(result.excess.mean().item()) < 0.01


def test_shuffled_perturbations_hold_the_masks_share_of_the_energy_on_average():
    perturbation, _ = sparse(1, 16, 16)
    heatmaps = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1)).expand(500, 16, 16)
    shuffled = shuffled_control(perturbation.repeat(500, 1, 1, 1), torch.arange(500))
    result = interpretability_score(shuffled, heatmaps)
    shares = result.score.square()
    assert shares.mean().item() == pytest.approx(
        result.mask_share[0].item(), abs=4 * shares.std().item() / math.sqrt(500)
    )
    assert shares.std().item() > 0.01  # of a sparse perturbation the score varies


@pytest.mark.parametrize("name", CONTROLS)
def test_is_a_function_of_seed_and_index(name):
    control, (perturbations, indices) = CONTROLS[name], sparse()
    whole = control(perturbations, indices)
    order = torch.tensor([3, 0, 4, 2, 1])
    assert torch.equal(control(perturbations[order], indices[order]), whole[order])
    for row in range(5):
        assert torch.equal(control(perturbations[row : row + 1], indices[row : row + 1])[0], whole[row])
    assert not torch.equal(control(perturbations, indices, 1), whole)
    assert not torch.equal(control(perturbations, indices + 1), whole)
    state = torch.get_rng_state()
    assert torch.equal(control(perturbations, indices), whole)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", CONTROLS)
def test_no_perturbation_and_no_images(name):
    perturbations, indices = sparse()
    perturbations[1] = 0
    perturbations[2, 0, 0, 0] = torch.nan
    result = CONTROLS[name](perturbations, indices)
    assert torch.equal(result[1], perturbations[1])
    scores = interpretability_score(result, torch.rand(5, 11, 9)).score
    assert scores.isnan().tolist() == [False, True, True, False, False]
    assert CONTROLS[name](perturbations[:0], indices[:0]).shape == (0, 3, 11, 9)


@pytest.mark.parametrize("name", CONTROLS)
def test_refuses_bad_arguments(name):
    perturbations, indices = sparse()
    with pytest.raises(ValueError, match=r"perturbations must be float \(N, C, H, W\)"):
        CONTROLS[name](perturbations[0], indices)
    with pytest.raises(ValueError, match=r"indices must be int64 \(5,\), got torch.int64 \(4,\): one for each"):
        CONTROLS[name](perturbations, indices[:4])
    with pytest.raises(ValueError, match="cell_size must be at least 1, got 0"):
        shuffled_cells_control(perturbations, indices, 0)
