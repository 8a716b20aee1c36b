"""Robust accuracy, per attack and for all of them, against hand calculations and scipy's Wilson interval."""

import math

import pytest
import scipy.stats
import torch

from advscope.measures import RobustAccuracy


def figures(metric):
    return {key: (round(estimate.value, 6), estimate.n) for key, estimate in metric.compute().items()}


def test_by_hand():
    metric = RobustAccuracy(["fgsm", "pgd"])
    labels = torch.tensor([0, 1, 2, 3, -1])
    metric.update(
        labels,
        clean=torch.tensor([0, 1, 2, 0, -1]),
        attacked={"fgsm": torch.tensor([0, 1, 0, 3, -1]), "pgd": torch.tensor([0, 0, 2, 3, -1])},
    )
    # The image without a class is left out, though prediction and label agree. fgsm: 0, 1, 3; pgd: 0, 2, 3; both: 0, 3.
    assert figures(metric) == {
        "clean/accuracy": (0.75, 4),
        "fgsm/robust_accuracy": (0.75, 4),
        "pgd/robust_accuracy": (0.75, 4),
        "all/robust_accuracy": (0.5, 4),
    }


def test_equals_a_loop_in_any_batching_and_order():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(-1, 4, (500,), generator=generator)
    clean, first, second = (torch.randint(0, 4, (500,), generator=generator) for _ in range(3))
    known = [i for i in range(500) if labels[i] != -1]
    expected = [
        sum(int(clean[i] == labels[i]) for i in known),
        sum(int(first[i] == labels[i]) for i in known),
        sum(int(second[i] == labels[i]) for i in known),
        sum(bool(first[i] == labels[i]) and bool(second[i] == labels[i]) for i in known),
    ]
    for size in (1, 33, 500):
        metric = RobustAccuracy(["first", "second"])
        for chosen in torch.randperm(500, generator=generator).split(size):
            metric.update_clean(clean[chosen], labels[chosen])
            metric.update_attacked({"second": second[chosen], "first": first[chosen]}, labels[chosen])
        for estimate, correct in zip(metric.compute().values(), expected, strict=True):
            wilson = scipy.stats.binomtest(int(correct), len(known)).proportion_ci(method="wilson")
            assert estimate == pytest.approx((correct / len(known), *wilson, len(known), 0))


def test_fewer_images_may_be_attacked_than_predicted():
    metric = RobustAccuracy(["pgd"])
    metric.update_clean(torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1]))
    assert metric.compute()["clean/accuracy"].n == 3
    assert math.isnan(metric.compute()["pgd/robust_accuracy"].value)
    metric.update_attacked({"pgd": torch.tensor([0])}, torch.tensor([0]))
    assert figures(metric) == {
        "clean/accuracy": (0.666667, 3),
        "pgd/robust_accuracy": (1.0, 1),
        "all/robust_accuracy": (1.0, 1),
    }
    metric.reset()
    assert metric.clean.tolist() == [0, 0]


def test_works_without_attacks():
    metric = RobustAccuracy()
    metric.update(torch.tensor([1, 1]), clean=torch.tensor([1, 0]), attacked={})
    assert figures(metric) == {"clean/accuracy": (0.5, 2)}


def test_refuses_bad_arguments():
    for names in (["pgd", "pgd"], ["clean"], ["all"]):
        with pytest.raises(ValueError, match="attacks must have different names, none 'clean' or 'all'"):
            RobustAccuracy(names)
    metric, labels = RobustAccuracy(["pgd"]), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"predictions must be for the attacks \['pgd'\], got \['fgsm'\]"):
        metric.update_attacked({"fgsm": labels}, labels)
    with pytest.raises(ValueError, match=r"predictions of 'pgd' must be of shape \(2,\), got \(1,\)"):
        metric.update_attacked({"pgd": labels[:1]}, labels)
    with pytest.raises(ValueError, match=r"predictions of 'clean' must be of shape \(2,\)"):
        metric.update_clean(labels[:1], labels)
    with pytest.raises(ValueError, match=r"labels must be \(N,\)"):
        metric.update_clean(labels, labels[None])
