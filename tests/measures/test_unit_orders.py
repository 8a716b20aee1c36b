"""In which order units are masked, by hand."""

import math

import pytest
import torch

from advscope.counter_hash import hash32
from advscope.measures import unit_orders
from advscope.measures.unit_orders import check_numbers, check_orders, usual_numbers


def test_by_hand():
    sensitivity = torch.tensor([0.2, 0.9, math.nan, 0.9, 0.5])
    interpretability = torch.tensor([0.4, 0.1, 0.8, 0.3, math.nan])
    orders = unit_orders(sensitivity, interpretability, permutations=2)
    # Units 2 and 4 lack a value; 1 and 3 are equally sensitive.
    assert orders["sensitive"] == ((1, 3, 0),)
    assert orders["interpretable"] == ((0, 3, 1),)
    assert [sorted(order) for order in orders["random"]] == [[0, 1, 3]] * 2


def test_random_orders_are_a_function_of_seed_number_and_unit():
    values = torch.rand(40, generator=torch.Generator().manual_seed(0))
    orders = unit_orders(values, values, permutations=4, seed=7)["random"]
    assert len(set(orders)) == 4
    assert orders == unit_orders(1 - values, values * 2, permutations=4, seed=7)["random"]
    assert orders[:2] == unit_orders(values, values, permutations=2, seed=7)["random"]
    assert set(orders).isdisjoint(unit_orders(values, values, permutations=4, seed=8)["random"])
    # A loop of its own over the keys.
    keys = {unit: [int(hash32(7, 0x3A5C, 1, half, torch.tensor(unit))) >> 1 for half in (1, 2)] for unit in range(40)}
    assert list(orders[1]) == sorted(range(40), key=keys.__getitem__)
    # A unit that drops out leaves the others' order alone.
    without = values.clone()
    without[3] = torch.nan
    kept = unit_orders(without, values, permutations=4, seed=7)["random"]
    assert kept == tuple(tuple(unit for unit in order if unit != 3) for order in orders)


def test_each_unit_comes_first_equally_often():
    values = torch.zeros(5)
    first = [order[0] for order in unit_orders(values, values, permutations=2000)["random"]]
    assert all(300 < first.count(unit) < 500 for unit in range(5))


def test_usual_numbers():
    assert usual_numbers(64) == (0, 2, 4, 8, 16, 32)
    assert usual_numbers(10) == (0, 1, 2, 5)
    assert usual_numbers(1) == (0,)


def test_errors():
    with pytest.raises(ValueError, match=r"must be of one shape \(K,\), got \(3,\) and \(2,\)"):
        unit_orders(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
        unit_orders(torch.zeros(3), torch.zeros(3), permutations=0)
    for numbers in ([], [1, 2], [0, 4, 2], [0, 2, 2], [0, 0.5], "0"):
        with pytest.raises(ValueError, match="numbers of masked units must rise from 0"):
            check_numbers(numbers)
    with pytest.raises(ValueError, match="orders must be of sensitive, interpretable, random, got 'sensible'"):
        check_orders(["sensible"])
    for orders in ([], ["random", "random"], "random"):
        with pytest.raises(ValueError, match="orders must be one or more different ones"):
            check_orders(orders)
