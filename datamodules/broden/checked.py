"""What a folder in Broden's layout holds, in numbers."""

from typing import NamedTuple

_NAMED = 5
_RELEASES = (224, 227, 384)


class CategoryCount(NamedTuple):
    """What the images have of one category."""

    category: str
    labels: int
    """Labels that the tables list."""
    found: int
    """Those that are on some image."""
    images: int
    """Images with one of them."""
    masks: int
    """Label masks."""


class Checked(NamedTuple):
    """What a folder holds that was found good."""

    images: int
    splits: dict[str, int]
    """Images of each split."""
    image_sizes: dict[tuple[int, int], int]
    """Images of each height and width."""
    mask_size: tuple[int, int]
    categories: tuple[CategoryCount, ...]
    unlabelled: tuple[str, ...]
    """Images without a label in any category, by their paths."""

    def lines(self) -> list[str]:
        """Return a short summary."""
        splits = ", ".join(f"{count:,} {name}" for name, count in self.splits.items())
        sizes = sorted(self.image_sizes.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{height} x {width} ({count:,})" for (height, width), count in sizes[:_NAMED])
        more = f" and {len(sizes) - _NAMED:,} other sizes" if len(sizes) > _NAMED else ""
        sides = {side for size in self.image_sizes for side in size}
        release = "".join(f", as in Broden's release {side}" for side in _RELEASES if sides == {side})
        lines = [
            f"{self.images:,} images ({splits}) of {shown}{more} pixels{release}",
            f"masks of {self.mask_size[0]} x {self.mask_size[1]} pixels",
        ]
        for count in self.categories:
            lines.append(
                f"{count.category}: {count.found:,} of {count.labels:,} labels are on {count.images:,} images;"
                f" {count.masks:,} masks"
            )
        if self.unlabelled:
            named = ", ".join(self.unlabelled[:_NAMED]) + (", ..." if len(self.unlabelled) > _NAMED else "")
            lines.append(f"{len(self.unlabelled):,} images have no label in any category, and are kept: {named}")
        return lines
