"""Means over attacked images: who counts, exactness in any order and batching, and life as a torchmetrics Metric."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from advscope.intervals import Z95
from advscope.measures import ImageMeans, InterpretabilityScore, PromotionSuppression, RobustAccuracy


def rows(count=1000):
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(count, generator=generator, dtype=torch.float64) * 1e3 + 5
    second = torch.rand(count, generator=generator)
    second[::7] = torch.nan
    eligible = torch.rand(count, generator=generator) < 0.8
    attacked = eligible & (torch.rand(count, generator=generator) < 0.6)
    return {"first": first, "second": second}, eligible, attacked


def part(columns, eligible, attacked, chosen):
    return {name: column[chosen] for name, column in columns.items()}, eligible[chosen], attacked[chosen]


def test_by_hand():
    # Counting rows 0, 1, 2 with 1, 2, nan: mean 1.5, s = sqrt(0.5), n = 2, half = 1.96 * 0.5; row 3 failed, 4 is wrong.
    metric = ImageMeans(["score"])
    metric.update(
        {"score": torch.tensor([1.0, 2.0, torch.nan, 50.0, torch.nan])},
        torch.tensor([True, True, True, True, False]),
        torch.tensor([True, True, True, False, False]),
    )
    estimate = metric.compute()["score"]
    assert estimate == pytest.approx((1.5, 1.5 - Z95 / 2, 1.5 + Z95 / 2, 2, 1))
    assert metric.counts() == {"eligible": 4, "ineligible": 1, "attacked": 3, "failed": 1}


def test_equals_numpy_over_the_rows_that_count():
    columns, eligible, attacked = rows()
    metric = ImageMeans(list(columns))
    metric.update(columns, eligible, attacked)
    for name, estimate in metric.compute().items():
        values = columns[name][attacked].double().numpy()
        assert estimate.undefined == np.isnan(values).sum()
        values = values[~np.isnan(values)]
        half = 1.959963984540054 * values.std(ddof=1) / math.sqrt(len(values))
        assert estimate[:4] == pytest.approx((values.mean(), values.mean() - half, values.mean() + half, len(values)))


def test_any_batching_and_order_gives_the_same():
    columns, eligible, attacked = rows()
    whole = ImageMeans(list(columns))
    whole.update(columns, eligible, attacked)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(1))
    for sizes in (1, 7, 64, 999):
        metric = ImageMeans(list(columns))
        for chosen in order.split(sizes):
            metric.update(*part(columns, eligible, attacked, chosen))
        assert metric.counts() == whole.counts()
        for name, estimate in metric.compute().items():
            assert estimate == pytest.approx(whole.compute()[name], rel=1e-9)


def test_is_undefined_without_an_attacked_image():
    metric = ImageMeans(["score"])
    metric.update({"score": torch.ones(3)}, torch.tensor([True, True, False]), torch.zeros(3, dtype=torch.bool))
    estimate = metric.compute()["score"]
    assert math.isnan(estimate.value)
    assert (estimate.n, estimate.undefined) == (0, 0)
    assert metric.counts() == {"eligible": 2, "ineligible": 1, "attacked": 0, "failed": 2}


@pytest.mark.parametrize("cast", [
    lambda module: module.to(torch.bfloat16), lambda module: module.half(), lambda module: module.float(),
    lambda module: module.to("cpu", torch.float32),
])  # fmt: skip
def test_sums_stay_float64_whatever_the_module_is_cast_to(cast):
    columns, eligible, attacked = rows()
    module = nn.ModuleDict({"metric": ImageMeans(list(columns))})
    module["metric"].update(columns, eligible, attacked)
    expected = module["metric"].compute()
    module = cast(module)
    assert module["metric"].total.dtype == module["metric"].squares.dtype == torch.float64
    assert module["metric"].defined.dtype == torch.int64
    module["metric"]._computed = None
    assert module["metric"].compute() == expected
    module["metric"].reset()
    assert module["metric"].total.dtype == torch.float64


def test_set_dtype_does_not_round_either():
    metric = ImageMeans(["score"]).set_dtype(torch.float32)
    assert metric.total.dtype == torch.float64


def test_resets_pickles_and_clones():
    columns, eligible, attacked = rows()
    metric = ImageMeans(list(columns))
    metric.update(columns, eligible, attacked)
    expected = metric.compute()
    for other in (pickle.loads(pickle.dumps(metric)), metric.clone(), copy.deepcopy(metric)):
        assert other.compute() == expected
        assert other.counts() == metric.counts()
        other.update(columns, eligible, attacked)
        assert other.compute()["first"].n == 2 * expected["first"].n
    assert metric.compute() == expected
    metric.reset()
    assert metric.counts()["attacked"] == 0
    assert metric.state_dict() == {}


def test_forward_returns_the_figures_of_the_batch():
    columns, eligible, attacked = rows()
    metric, alone = ImageMeans(list(columns)), ImageMeans(list(columns))
    halves = torch.arange(1000).split(500)
    metric(*part(columns, eligible, attacked, halves[0]))
    batch_value = metric(*part(columns, eligible, attacked, halves[1]))
    alone.update(*part(columns, eligible, attacked, halves[1]))
    assert batch_value == alone.compute()
    whole = ImageMeans(list(columns))
    whole.update(columns, eligible, attacked)
    assert metric.compute()["first"] == pytest.approx(whole.compute()["first"], rel=1e-9)


def test_a_collection_keeps_measures_apart_also_after_a_batch_without_attacked_images():
    # Compute groups merge metrics with equal states after the first update.
    class Named(ImageMeans):
        def update(self, columns, eligible, attacked):
            super().update({name: columns[name] for name in self.quantities}, eligible, attacked)

    collection = MetricCollection({"one": Named(["first"]), "other": Named(["second"])})
    columns, eligible, attacked = rows()
    collection.update(columns, eligible, torch.zeros_like(attacked))
    collection.update(columns, eligible, attacked)
    figures = collection.compute()
    expected = columns["second"][attacked].double().nanmean().item()
    assert figures["second"].value == pytest.approx(expected)
    assert figures["first"].value == pytest.approx(columns["first"][attacked].mean().item())


@pytest.mark.parametrize("metric", [PromotionSuppression(), InterpretabilityScore(), RobustAccuracy(["pgd"])])
def test_works_in_a_collection(metric):
    collection = MetricCollection({"measure": metric})
    if isinstance(metric, RobustAccuracy):
        batch = {"labels": torch.zeros(3, dtype=torch.int64), "clean": torch.zeros(3, dtype=torch.int64)}
        key = "clean/accuracy"
    else:
        everyone = torch.ones(3, dtype=torch.bool)
        columns = {name: torch.ones(3) for name in metric.quantities}
        batch = {"columns": columns, "eligible": everyone, "attacked": everyone}
        key = metric.quantities[0]
    collection.update(**batch)
    clone = collection.clone()
    figures = clone.compute()
    assert figures[key].value == 1
    assert figures[key].n == 3
    collection.reset()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"score": torch.ones(3)}}, r"missing \['other'\], unknown \[\]"),
        ({"columns": {"score": torch.ones(3), "other": torch.ones(3), "x": torch.ones(3)}}, r"unknown \['x'\]"),
        ({"columns": {"score": torch.ones(2), "other": torch.ones(3)}}, r"column 'score' must be of shape \(3,\)"),
        ({"eligible": torch.ones(3)}, r"eligible must be bool \(N,\), got torch.float32"),
        ({"attacked": torch.ones(2, dtype=torch.bool)}, r"attacked must be bool \(N,\), got torch.bool \(2,\)"),
        ({"eligible": torch.zeros(3, dtype=torch.bool)}, "attacked images must be eligible"),
    ],
)
def test_refuses_bad_batches(change, message):
    everyone = torch.ones(3, dtype=torch.bool)
    batch = {"columns": {"score": torch.ones(3), "other": torch.ones(3)}, "eligible": everyone, "attacked": everyone}
    with pytest.raises(ValueError, match=message):
        ImageMeans(["score", "other"]).update(**(batch | change))


def test_refuses_bad_names():
    for names in ([], ["score", "score"]):
        with pytest.raises(ValueError, match="quantities must be one or more different names"):
            ImageMeans(names)
