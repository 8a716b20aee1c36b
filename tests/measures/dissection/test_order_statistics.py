"""Tests of exact order statistics: against sorting, whatever the batches, the order and the ties."""

import pytest
import torch
from torch import Tensor

from advscope.measures import TopQuantile
from advscope.measures.dissection import compiled, order_statistics
from advscope.measures.dissection.order_statistics import allowed_above, from_order_code, order_code

TINY = 1e-45


@pytest.fixture(params=["compiled", "tensors"], autouse=True)
def way(request, monkeypatch) -> None:
    """Run every test with compiled loops, and with tensor operations."""
    assert compiled.AVAILABLE
    monkeypatch.setattr(compiled, "AVAILABLE", request.param == "compiled")


def threshold(values: Tensor, quantile: float, size: int = 100, other_size: int = 37) -> TopQuantile:
    top = TopQuantile(values.shape[1], quantile)
    for part in values.split(size):
        top.count(part.T)
    top.locate()
    for part in values.flip(0).split(other_size):
        top.count(part.T)
    return top


def sorted_threshold(values: Tensor, quantile: float) -> Tensor:
    """Return the smallest value that at most floor(q n) values exceed, by its definition."""
    found = []
    for column in values.T:
        for candidate in column.unique():
            if int((column > candidate).sum()) <= allowed_above(quantile, len(column)):
                found.append(candidate)
                break
    return torch.stack(found)


def test_codes_have_the_order_of_the_values_and_lead_back_to_them() -> None:
    inf = torch.inf
    values = torch.tensor([-inf, -3.4e38, -1.0, -TINY, -0.0, 0.0, TINY, 1e-38, 1.0, 1.0000001, 3.4e38, inf])
    codes = order_code(values)
    assert (codes.diff() >= 0).all()
    assert (codes.diff() == 0).nonzero().tolist() == [[4]]  # -0.0 and 0.0 are one value
    assert torch.equal(from_order_code(codes), values)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 1 << 32
    random = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) * 1e3
    assert torch.equal(order_code(random).argsort(stable=True), random.argsort(stable=True))
    assert torch.equal(from_order_code(order_code(random)), random)


@pytest.mark.parametrize("quantile", [0.05, 0.005, 0.29, 0.5, 0.999])
def test_thresholds_are_the_order_statistics(quantile: float) -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(1000, 8, generator=generator)
    values[:, 1] = values[:, 1].relu()
    values[:, 2] = -values[:, 2].relu()
    values[:, 3] = 7.0
    values[:, 4] = (values[:, 4] * 2).round()
    values[:, 5] = values[:, 5] * 1e-42
    values[::3, 6] = torch.inf
    values[::3, 7] = -torch.inf
    top = threshold(values, quantile)
    found = top.thresholds()
    assert torch.equal(found, sorted_threshold(values, quantile))
    assert torch.equal(found, values.sort(0, descending=True).values[allowed_above(quantile, 1000)])
    assert torch.equal(top.maximum, values.amax(0))


def test_batches_and_order_change_nothing() -> None:
    values = torch.randn(500, 4, generator=torch.Generator().manual_seed(2))
    one = threshold(values, 0.05, 500, 500).thresholds()
    shuffled = values[torch.randperm(500, generator=torch.Generator().manual_seed(3))]
    assert torch.equal(one, threshold(shuffled, 0.05, 7, 1).thresholds())


def test_values_that_come_at_once_are_counted_in_parts(monkeypatch) -> None:
    values = torch.randn(500, 4, generator=torch.Generator().manual_seed(4))
    monkeypatch.setattr(order_statistics, "_AT_ONCE", 1200)  # two of the 4 columns
    top = threshold(values, 0.05, 500, 500)
    assert torch.equal(top.thresholds(), sorted_threshold(values, 0.05))
    assert torch.equal(top.maximum, values.amax(0))


def test_a_share_of_a_count_is_exact() -> None:
    assert allowed_above(0.29, 100) == 29
    assert allowed_above(0.05, 60) == 3
    assert allowed_above(0.005, 199) == 0


def test_a_second_pass_over_fewer_values_is_refused() -> None:
    # Where one value makes up most of a column, its threshold could be found all the same: a wrong one.
    values = torch.zeros(100, 1)
    values[90:] = 1
    top = TopQuantile(1, 0.05)
    top.count(values.T)
    top.locate()
    top.count(values[5:].T)
    with pytest.raises(ValueError, match=r"saw other values than the first \(95 and 100\)"):
        top.thresholds()


def test_memory_does_not_grow_with_the_values() -> None:
    top = TopQuantile(3, 0.05)
    before = top.counts.numel()
    for _ in range(5):
        top.count(torch.rand(3, 1000))
    assert top.counts.numel() == before
    assert top.counts.dtype == torch.int32
    top.values = (1 << 31) - 10
    top.count(torch.rand(3, 100))
    assert top.counts.dtype == torch.int64
    assert int(top.counts.sum()) == 3 * 5100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: TopQuantile(0, 0.05), "columns must be at least 1, got 0"),
        (lambda: TopQuantile(2, 0.0), r"quantile must be in \(0, 1\), got 0.0"),
        (lambda: TopQuantile(2, 0.05).count(torch.rand(5, 3)), r"values must be \(2, P\), got \(5, 3\)"),
        (lambda: TopQuantile(2, 0.05).count(torch.tensor([[0.0, 1.0], [0.0, torch.nan]])), "column 1 hold nan"),
        (lambda: TopQuantile(2, 0.05).locate(), "no values to take a quantile of; give at least one image"),
        (lambda: TopQuantile(2, 0.05).thresholds(), r"two passes: call locate\(\) after the first"),
    ],
)
def test_what_is_not_allowed_is_named(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change()


def test_other_values_in_the_second_pass_are_noticed() -> None:
    top = TopQuantile(1, 0.5)
    top.count(torch.rand(1, 100))
    top.locate()
    top.count(torch.rand(1, 3) + 100)
    with pytest.raises(ValueError, match="the second pass saw other values than the first"):
        top.thresholds()
