"""Learning rate schedules."""

import math

import pytest

from lightning_modules import Constant, Cosine, OneCycle, Steps


def test_constant_is_one():
    assert [Constant().factor(progress) for progress in (0, 0.5, 1)] == [1, 1, 1]


def test_steps_fall_at_their_points():
    schedule = Steps(at=[0.5, 0.75], gamma=0.1)
    # Exactly at a point the new rate holds.
    assert [schedule.factor(p) for p in (0, 0.499, 0.5, 0.75, 1)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])


def test_cosine_rises_then_falls():
    schedule = Cosine(warmup=0.2)
    assert schedule.factor(0.1) == pytest.approx(0.5)
    assert schedule.factor(0.2) == pytest.approx(1)
    # Half of what is left: (1 + cos(pi / 2)) / 2.
    assert schedule.factor(0.6) == pytest.approx(0.5 * (1 + math.cos(math.pi / 2)))
    assert schedule.factor(1) == pytest.approx(0)


def test_one_cycle_is_a_triangle():
    schedule = OneCycle(peak=0.4)
    assert [schedule.factor(p) for p in (0, 0.2, 0.4, 0.7, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Steps(at=[0.5, 0.5]), r"increasing shares of the training in \(0, 1\), got \[0.5, 0.5\]"),
        (lambda: Steps(at=[1.0]), r"increasing shares"),
        (lambda: Cosine(warmup=1.0), r"warmup must be in \[0, 1\), got 1.0"),
        (lambda: OneCycle(peak=0), r"peak must be in \(0, 1\), got 0"),
    ],
)
def test_settings_that_are_not_allowed_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
