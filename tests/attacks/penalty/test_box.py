"""Tests of the images that an attack may return."""

import torch

from advscope.attacks.penalty.box import Box


def test_bounds_are_the_range_the_budget_and_the_mask():
    images = torch.tensor([0.0, 0.05, 0.5, 0.97, 1.0]).view(1, 1, 1, 5)
    box = Box.around(images)
    assert (box.lower == 0).all()
    assert (box.upper == 1).all()
    mask = torch.tensor([True, True, True, True, False]).view(1, 1, 1, 5)
    box = Box.around(images, eps=0.1, mask=mask)
    torch.testing.assert_close(box.lower.flatten(), torch.tensor([0.0, 0.0, 0.4, 0.87, 1.0]))
    torch.testing.assert_close(box.upper.flatten(), torch.tensor([0.1, 0.15, 0.6, 1.0, 1.0]))


def test_clips_to_the_nearest_image_and_keeps_rows():
    torch.manual_seed(0)
    images = torch.rand(3, 2, 4, 4)
    mask = torch.rand(3, 1, 4, 4) < 0.5
    box = Box.around(images, 0.2, mask)
    points = torch.randn(3, 2, 4, 4)
    clipped = box.clip(points)
    for place in torch.cartesian_prod(*map(torch.arange, images.shape)).tolist():
        image, point = images[*place].item(), points[*place].item()
        low, high = max(image - 0.2, 0), min(image + 0.2, 1)
        wanted = min(max(point, low), high) if mask[place[0], 0, place[2], place[3]] else image
        assert abs(clipped[*place].item() - wanted) < 1e-7
    outside = ~mask.expand_as(images)
    assert torch.equal(clipped[outside], images[outside])
    assert torch.equal(box.rows(torch.tensor([2, 0])).clip(points[[2, 0]]), clipped[[2, 0]])
