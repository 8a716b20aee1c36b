"""Checks of settings, each error in one line that says what is allowed."""

import math
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T", bound=str)


def nonnegative(name: str, value: float) -> float:
    """Return a finite number that is at least 0.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number and not negative, got {value!r}")
    return float(value)


def whole(name: str, value: int, lowest: int | None = None) -> int:
    """Return a whole number that is at least ``lowest``.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if lowest is not None and value < lowest:
        raise ValueError(f"{name} must be at least {lowest}, got {value}")
    return value


def choice(name: str, value: T, allowed: Iterable[str]) -> T:
    """Return a value that is among the allowed ones.

    Raises:
        ValueError: If it is not.
    """
    names = list(allowed)
    if value not in names:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, names))}, got {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """Return a finite number above 0.

    Raises:
        ValueError: If it is not.
    """
    if nonnegative(name, value) == 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return float(value)
