"""Tests of what attacks keep small: the values, and the proximal maps against minimisation by scipy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar

from advscope.attacks.penalty.groups import Groups, GroupSize
from advscope.attacks.penalty.size import ElasticNetSize


def drawn(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("l1", [0.0, 0.8])
def test_the_elastic_net_equals_a_loop(l1):
    values = drawn(3, 2, 2, 3)
    found = ElasticNetSize(l1).value(values)
    for row in range(3):
        numbers = values[row].flatten().tolist()
        wanted = sum(number**2 for number in numbers) + l1 * sum(abs(number) for number in numbers)
        assert found[row].item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("l1", [0.0, 0.8])
@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_the_elastic_net_is_shrunk_as_scipy_minimises_it_value_by_value(l1, weight):
    slopes = drawn(2, 1, 2, 2, scale=2.0)
    slopes[0, 0, 0, 0], slopes[1, 0, 1, 1] = 0.5, 0.0
    found = ElasticNetSize(l1).shrunk(slopes, torch.full((2,), weight, dtype=torch.float64), torch.zeros_like(slopes))
    for value, slope in zip(found.flatten().tolist(), slopes.flatten().tolist(), strict=True):
        best = minimize_scalar(
            lambda x, a=slope: x * x + l1 * abs(x) + weight * x * x - a * x, (-3, 3), options={"xtol": 1e-12}
        )
        assert value == pytest.approx(best.x, abs=1e-6)
        if l1 and abs(slope) <= l1:
            assert value == 0


def objective(size, slopes, weight):
    """Return the function that the proximal map minimises, of a flat array, and its gradient, smoothed at zero."""

    def function(flat):
        point = torch.tensor(flat).view(1, *slopes.shape[1:]).requires_grad_()
        copies = size.groups.copies(point)
        norms = (copies.square().sum(1) + 1e-14).sqrt().sum()
        value = size.l2 * point.square().sum() + size.lasso * norms + weight * point.square().sum()
        value = value - (slopes * point).sum()
        return value.item(), torch.autograd.grad(value, point)[0].flatten().numpy()

    return function


@pytest.mark.parametrize(("cell_size", "stride", "weight"), [(2, 2, 0.0), (3, 3, 2.5)])
def test_groups_that_are_apart_are_shrunk_as_scipy_minimises(cell_size, stride, weight):
    size = GroupSize(Groups(cell_size, stride), l2=0.7, lasso=2.0)
    slopes = drawn(3, 2, 4, 5)
    slopes[2] *= 0.1
    found = size.shrunk(slopes, torch.full((3,), weight, dtype=torch.float64), torch.zeros_like(slopes))
    for row in range(3):
        function = objective(size, slopes[row : row + 1], weight)
        best = minimize(
            function,
            np.full(40, 0.01),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 400},
        )
        torch.testing.assert_close(found[row].flatten(), torch.tensor(best.x), rtol=0, atol=2e-3)
    assert (found[2] == 0).all()
    alive = size.groups.norms(size.groups.copies(found))[:2] > 0
    assert alive.any()
    assert not alive.all()


@pytest.mark.parametrize(("cell_size", "stride"), [(3, 2), (2, 1)])
def test_groups_that_overlap_are_shrunk_to_the_minimum_by_repetition(cell_size, stride):
    size = GroupSize(Groups(cell_size, stride), l2=0.7, lasso=0.4)
    slopes, weights = drawn(2, 2, 4, 5), torch.tensor([0.0, 2.5], dtype=torch.float64)
    point = size.shrunk(slopes, weights, torch.zeros_like(slopes))
    values = []
    for _ in range(300):
        values.append(size.value(point) + weights * point.square().sum((1, 2, 3)) - (slopes * point).sum((1, 2, 3)))
        point = size.shrunk(slopes, weights, point)
    descent = torch.stack(values).diff(dim=0)
    assert (descent <= 1e-9).all()
    assert (descent[0] < -1e-6).all()
    for row in range(2):
        function = objective(size, slopes[row : row + 1], weights[row].item())
        best = minimize(
            function,
            np.full(40, 0.01),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 400},
        )
        assert values[-1][row].item() == pytest.approx(best.fun, rel=1e-3)


def test_a_group_that_is_zero_stays_zero_where_groups_overlap():
    size = GroupSize(Groups(2, 1), l2=1.0, lasso=0.1)
    around = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    around[0, 0, :2, :2] = 1
    found = size.shrunk(torch.ones_like(around), torch.zeros(1, dtype=torch.float64), around)
    assert found.isfinite().all()
    # Pixel (0, 0) lies in one group, that of the four ones; (1, 1) in a group with a zero-free norm, too.
    assert (found[0, 0, :2, :2] > 0).all()
    assert (found[0, 0, 3] == 0).all()
    assert (found[0, 0, :, 3] == 0).all()
