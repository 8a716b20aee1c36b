"""Perturbation sizes, against hand calculations, a plain numpy loop and planted truth."""

import math

import numpy as np
import pytest
import torch

from advscope.intervals import rate
from advscope.measures import PerturbationSize, PerturbationSizes, perturbation_size


def pairs(count=5, height=7, width=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, height, width, generator=generator)
    moved = (images + torch.randn(images.shape, generator=generator) / 30).clamp(0, 1)
    changed = torch.rand(count, 1, height, width, generator=generator) < 0.3
    return images, torch.where(changed, moved, images)


def loop(image, adversarial, cell_size, stride, threshold):
    """Each size by its definition, an element at a time."""
    channels, height, width = image.shape
    difference = adversarial.double().numpy() - image.double().numpy()
    elements = [abs(float(value)) for value in difference.ravel()]
    group, active = 0.0, 0
    top = 0
    while True:
        left = 0
        while True:
            inside = [
                abs(float(difference[channel, row, column]))
                for channel in range(channels)
                for row in range(top, min(top + cell_size, height))
                for column in range(left, min(left + cell_size, width))
            ]
            group += math.sqrt(sum(value**2 for value in inside))
            active += any(value >= threshold for value in inside)
            if left + cell_size >= width:
                break
            left += stride
        if top + cell_size >= height:
            break
        top += stride
    return (
        sum(value >= threshold for value in elements),
        sum(elements),
        math.sqrt(sum(value**2 for value in elements)),
        max(elements),
        group,
        active,
    )


@pytest.mark.parametrize(("cell_size", "stride"), [(1, None), (2, None), (3, 2), (4, 4), (5, 1), (20, None)])
@pytest.mark.parametrize("threshold", [1e-6, 0.02])
def test_equals_a_loop(cell_size, stride, threshold):
    images, adversarials = pairs()
    sizes = perturbation_size(images, adversarials, cell_size=cell_size, stride=stride, threshold=threshold)
    for row in range(len(images)):
        expected = loop(images[row], adversarials[row], cell_size, stride or cell_size, threshold)
        assert [values[row].item() for values in sizes] == pytest.approx(expected, rel=1e-12)


def test_agrees_with_numpy_and_with_the_cells_that_enclose_everything_or_one_pixel():
    images, adversarials = pairs()
    whole = perturbation_size(images, adversarials, cell_size=9)
    flat = (adversarials.double() - images.double()).flatten(1).numpy()
    for row, perturbation in enumerate(flat):
        for name, order in (("l1", 1), ("l2", 2), ("linf", np.inf)):
            assert getattr(whole, name)[row].item() == pytest.approx(np.linalg.norm(perturbation, order), rel=1e-12)
    # One cell that holds the whole image: the group norm is the l2 norm. A cell for each pixel of one channel: l1, l0.
    torch.testing.assert_close(whole.group, whole.l2, rtol=1e-12, atol=0)
    assert whole.active_cells.tolist() == [1] * len(images)
    single = perturbation_size(images[:, :1], adversarials[:, :1], cell_size=1)
    torch.testing.assert_close(single.group, single.l1, rtol=1e-12, atol=0)
    assert torch.equal(single.active_cells, single.l0)


def test_by_hand_channels_of_a_cell_belong_together():
    images, adversarials = torch.zeros(1, 2, 2, 4), torch.zeros(1, 2, 2, 4)
    adversarials[0, :, 0, 0] = torch.tensor([3.0, -4.0])
    adversarials[0, 1, 1, 3] = 12.0
    sizes = perturbation_size(images, adversarials, cell_size=2)
    assert [values.item() for values in sizes] == [3, 19, 13, 12, 17, 2]


def test_the_threshold_itself_counts_and_what_is_below_does_not():
    images = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    adversarials = torch.tensor([[[[1e-6, 0.99e-6], [-1e-6, 0.0]]]], dtype=torch.float64)
    assert perturbation_size(images, adversarials, cell_size=1).l0.item() == 2
    assert perturbation_size(images, adversarials, cell_size=1).active_cells.item() == 2
    assert perturbation_size(images, adversarials, cell_size=1, threshold=1e-7).l0.item() == 3
    assert perturbation_size(images, adversarials, cell_size=2, threshold=2e-6).active_cells.item() == 0


def test_sizes_scale_with_the_perturbation_and_counts_do_not():
    images, adversarials = (tensor.double() for tensor in pairs())
    perturbations = adversarials - images
    sizes = perturbation_size(torch.zeros_like(images), perturbations, cell_size=2)
    larger = perturbation_size(torch.zeros_like(images), -2 * perturbations, cell_size=2)
    for name in ("l1", "l2", "linf", "group"):
        torch.testing.assert_close(getattr(larger, name), 2 * getattr(sizes, name), rtol=1e-12, atol=0)
    for name in ("l0", "active_cells"):
        assert torch.equal(getattr(larger, name), getattr(sizes, name))


def test_a_row_does_not_depend_on_its_neighbours_nor_on_the_memory_format():
    images, adversarials = pairs(count=7, height=32, width=32)
    together = perturbation_size(images, adversarials, cell_size=2)
    for row in range(len(images)):
        alone = perturbation_size(images[row : row + 1], adversarials[row : row + 1], cell_size=2)
        assert all(torch.equal(values[row : row + 1], value) for values, value in zip(together, alone, strict=True))
    layout = [tensor.contiguous(memory_format=torch.channels_last) for tensor in (images, adversarials)]
    for one, other in zip(together, perturbation_size(*layout, cell_size=2), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-14, atol=0)


def test_an_unperturbed_image_has_size_zero_and_a_nan_leaves_its_row_undefined():
    images, adversarials = pairs()
    adversarials[1] = images[1]
    adversarials[2, 0, 0, 0] = torch.nan
    sizes = perturbation_size(images, adversarials, cell_size=2)
    for values in sizes:
        assert values.dtype == torch.float64
        assert values[1] == 0
        assert values.isnan().tolist() == [False, False, True, False, False]


def test_the_metric_counts_whom_it_should():
    images, adversarials = pairs()
    sizes = perturbation_size(images, adversarials, cell_size=2)
    sizes.l2[0] = torch.nan
    metric = PerturbationSizes()
    eligible = torch.tensor([True, True, True, True, False])
    attacked = torch.tensor([True, False, True, True, False])
    for rows in (slice(0, 2), slice(2, 5)):
        columns = {name: values[rows] for name, values in PerturbationSizes.columns(sizes).items()}
        metric.update(columns, eligible[rows], attacked[rows])
    figures = metric.compute()
    assert figures["success_rate"] == rate(3, 4)
    assert figures["l1"].value == pytest.approx(sizes.l1[attacked].mean().item())
    assert (figures["l1"].n, figures["l1"].undefined) == (3, 0)
    assert (figures["l2"].n, figures["l2"].undefined) == (2, 1)
    assert set(figures) == {"success_rate", *PerturbationSize._fields}


def test_without_an_eligible_image_the_success_rate_is_undefined():
    figures = PerturbationSizes().compute()
    assert math.isnan(figures["success_rate"].value)
    assert figures["success_rate"].n == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adversarials": torch.zeros(5, 3, 4, 4)}, "images and adversarials must be of one shape and type"),
        ({"images": torch.zeros(3, 7, 9)}, r"images must be float \(N, C, H, W\)"),
        ({"cell_size": 0}, "cell_size must be at least 1, got 0"),
        ({"stride": 3}, r"stride must be in 1 ... cell_size = 2, got 3"),
        ({"threshold": 0.0}, "threshold must be positive, got 0.0"),
        ({"threshold": "small"}, "threshold must be positive, got 'small'"),
        ({"threshold": math.nan}, "threshold must be positive, got nan"),
    ],
)
def test_refuses_bad_arguments(change, message):
    images, adversarials = pairs()
    with pytest.raises(ValueError, match=message):
        perturbation_size(**({"images": images, "adversarials": adversarials, "cell_size": 2} | change))
