"""In which order units are masked: the most sensitive first, the most interpretable first, or at random."""

import torch
from torch import Tensor

from advscope.counter_hash import permutation

ORDERS = ("sensitive", "interpretable", "random")
"""Names of the orders."""

_PURPOSE = 0x3A5C


def unit_orders(
    sensitivity: Tensor, interpretability: Tensor, permutations: int = 3, seed: int = 0
) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Return the orders in which a layer's units are masked.

    Units of equal value stand by their number. A unit of which either value is undefined stands in no order: each order
    is one of the same units.

    Args:
        sensitivity: v(k) of each unit, floating point ``(K,)``, ``nan`` where undefined.
        interpretability: IoU(k) of each unit, likewise.
        permutations: How many random orders there are; one alone says little of what random units do.
        seed: Of the random orders, which are a function of (seed, number of the order, unit).

    Returns:
        For each of :data:`ORDERS` one ranking of units or, for ``random``, ``permutations`` of them.

    Raises:
        ValueError: If the values are not of one shape ``(K,)``, or ``permutations`` is not positive.

    Example:
        >>> orders = unit_orders(torch.tensor([0.1, 0.9, 0.5]), torch.tensor([0.3, 0.3, 0.4]), permutations=1)
        >>> orders["sensitive"], orders["interpretable"]
        (((1, 2, 0),), ((2, 0, 1),))
    """
    if sensitivity.ndim != 1 or sensitivity.shape != interpretability.shape:
        raise ValueError(
            "sensitivity and interpretability must be of one shape (K,), got "
            f"{tuple(sensitivity.shape)} and {tuple(interpretability.shape)}"
        )
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, got {permutations}")
    defined = ~(sensitivity.isnan() | interpretability.isnan())
    by_value = [
        values.double().argsort(descending=True, stable=True).cpu() for values in (sensitivity, interpretability)
    ]
    drawn = [permutation(len(sensitivity), seed, _PURPOSE, number) for number in range(permutations)]
    kept = defined.cpu()
    sensitive, interpretable, *random = (tuple(order[kept[order]].tolist()) for order in (*by_value, *drawn))
    return {"sensitive": (sensitive,), "interpretable": (interpretable,), "random": tuple(random)}


def check_orders(orders: object) -> None:
    """Raise unless these are one or more different names of orders."""
    if not isinstance(orders, list | tuple) or not orders or len(set(orders)) < len(orders):
        raise ValueError(f"orders must be one or more different ones of {', '.join(ORDERS)}, got {orders!r}")
    for name in orders:
        if name not in ORDERS:
            raise ValueError(f"orders must be of {', '.join(ORDERS)}, got {name!r}")


def check_numbers(numbers: object) -> None:
    """Raise unless these are rising numbers of units that begin with 0."""
    valid = isinstance(numbers, list | tuple) and all(type(number) is int for number in numbers)
    if not valid or list(numbers)[:1] != [0] or list(numbers) != sorted(set(numbers)):  # type: ignore[call-overload]
        raise ValueError(
            f"numbers of masked units must rise from 0, which the others are compared with (as 0, 8, 16), got {numbers}"
        )


def usual_numbers(units: int) -> tuple[int, ...]:
    """Return 0, and a 32nd, a 16th, an eighth, a quarter and a half of a layer's units, rounded down, at least 1."""
    shares = torch.tensor([32, 16, 8, 4, 2])
    return (0, *sorted({number for number in (units // shares).tolist() if number}))
