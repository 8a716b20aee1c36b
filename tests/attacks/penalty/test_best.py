"""Tests of the best success so far."""

import torch

from advscope.attacks.penalty.best import Best


def test_the_first_of_the_least_successes_is_kept_for_each_image():
    torch.manual_seed(0)
    images = torch.rand(6, 1, 2, 2)
    clean = images.clone()
    best = Best(images)
    wanted = [(float("inf"), image) for image in images]
    for _ in range(40):
        points, worths = torch.rand(6, 1, 2, 2), torch.randint(3, 30, (6,)).float()
        reached = (torch.rand(6) < 0.5) & (torch.arange(6) != 2)
        best.update(points, worths, reached)
        for row in range(6):
            if reached[row] and worths[row] < wanted[row][0]:
                wanted[row] = (worths[row].item(), points[row])
    assert best.worths.tolist() == [worth for worth, _ in wanted]
    assert torch.equal(best.images, torch.stack([point for _, point in wanted]))
    assert best.worths[2] == float("inf")
    assert torch.equal(best.images[2], clean[2])
    assert torch.equal(images, clean)
    best.keep(torch.tensor([4, 2]))
    assert best.worths.tolist() == [wanted[4][0], float("inf")]
    assert torch.equal(best.images, torch.stack([wanted[4][1], clean[2]]))
