"""How a dissection is done."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DissectionSettings:
    """How a dissection is done.

    Args:
        quantile: Share of its positions on which a unit counts as active, in (0, 1): 0.05 in Xu et al., 0.005 in
            NetDissect.
        strict: Active above the threshold; False: also at it.
        union: Union of IoU: ``"all"`` images, or those with a label of the concept's ``"category"`` alone.
        draws: Random sets of units behind each p-value, at least 1.

    Raises:
        ValueError: If a setting is out of range.
    """

    quantile: float = 0.05
    strict: bool = True
    union: str = "all"
    draws: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what is out of range, before an hour is lost."""
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile must be in (0, 1), got {self.quantile}")
        if self.union not in ("all", "category"):
            raise ValueError(f'union must be "all" or "category", got {self.union!r}')
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")
