"""Tests of the search for the constant."""

import math

import pytest
import torch

from advscope.attacks.penalty.constants import Constants


def loop(first, threshold, steps):
    """Return the constants tried for one image that succeeds from a threshold on."""
    tried, current, lower, upper = [], first, None, None
    for _ in range(steps):
        tried.append(current)
        if current >= threshold:
            upper = current if upper is None else min(upper, current)
        else:
            lower = current if lower is None else max(lower, current)
        if upper is None:
            current = lower * 10
        elif lower is None:
            current = upper / 10
        else:
            current = math.sqrt(lower * upper)
    return tried


def test_equals_a_loop_over_each_image_at_its_own_pace():
    first = torch.tensor([1.0, 1.0, 0.003, 5e3, 1e-12, 1.0], dtype=torch.float64)
    threshold = torch.tensor([0.2, 700.0, 0.0031, 1e-4, 1e30, 0.0], dtype=torch.float64)
    constants = Constants(first.clone())
    tried = [[] for _ in first]
    generator = torch.Generator().manual_seed(0)
    while min(map(len, tried)) < 12:
        rows = torch.rand(6, generator=generator) < 0.4
        reached = torch.where(rows, constants.current >= threshold, torch.rand(6, generator=generator) < 0.5)
        for row in rows.nonzero().flatten().tolist():
            tried[row].append(constants.current[row].item())
        constants.update(rows, reached)
    for row in range(6):
        wanted = loop(first[row].item(), threshold[row].item(), len(tried[row]))
        assert tried[row] == pytest.approx(wanted, rel=1e-12)
    # Where there is a threshold it is met within 1% of a decade or so.
    for row in range(3):
        assert constants.upper[row] >= threshold[row] > constants.lower[row]
        assert constants.upper[row] < 1.05 * constants.lower[row]


def test_a_network_that_is_not_monotone_never_widens_the_bracket():
    constants = Constants(torch.ones(1))
    everything = torch.ones(1, dtype=torch.bool)
    constants.update(everything, everything)
    constants.update(everything, ~everything)
    middle = constants.current.item()
    assert middle == pytest.approx(0.1**0.5)
    constants.current = torch.tensor([50.0])
    constants.update(everything, everything)
    assert constants.upper.item() == 1
    constants.current = torch.tensor([1e-5])
    constants.update(everything, ~everything)
    assert constants.lower.item() == pytest.approx(0.1)


def test_rows_are_kept_with_their_bracket():
    constants = Constants(torch.tensor([1.0, 2.0, 3.0]))
    constants.update(torch.tensor([True, True, False]), torch.tensor([True, False, True]))
    constants.keep(torch.tensor([2, 1]))
    assert constants.current.tolist() == [3, 20]
    assert constants.lower.tolist() == [0, 2]
    assert constants.upper.tolist() == [math.inf, math.inf]
