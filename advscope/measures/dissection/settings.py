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
        resolution: At which masks and annotations are compared: that of the ``"label"`` masks, or of the ``"input"``
            images, to which labels are scaled by nearest neighbour.
        align_corners: The corners of map and mask are the same places; False: the borders of their pixels are.
        detector: A unit whose best IoU exceeds this is a detector of its best concept, in [0, 1).
        draws: Random sets of units behind each p-value, at least 1.
        top_images: Images with the highest activation to name for each unit, from 0.
        chance: Tally the masks against other images' annotations as well, for the number of detectors by chance.
        source: Attack images of this class alone; None for all.
        target: The class that the attack is to reach; None for an untargeted attack.

    Raises:
        ValueError: If a setting is out of range.
    """

    quantile: float = 0.05
    strict: bool = True
    union: str = "all"
    resolution: str = "label"
    align_corners: bool = False
    detector: float = 0.04
    draws: int = 10_000
    top_images: int = 5
    chance: bool = True
    source: int | None = None
    target: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range, before an hour is lost."""
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile must be in (0, 1), got {self.quantile}")
        if self.union not in ("all", "category"):
            raise ValueError(f'union must be "all" or "category", got {self.union!r}')
        if self.resolution not in ("label", "input"):
            raise ValueError(f'resolution must be "label" or "input", got {self.resolution!r}')
        if not 0 <= self.detector < 1:
            raise ValueError(f"detector must be in [0, 1), got {self.detector}")
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")
        if self.top_images < 0:
            raise ValueError(f"top_images must not be negative, got {self.top_images}")
        for name in ("source", "target"):
            if (label := getattr(self, name)) is not None and label < 0:
                raise ValueError(f"{name} must be a class from 0, or None, got {label}")
        if self.source is not None and self.source == self.target:
            raise ValueError(f"source and target must be different classes, got {self.source} twice")
