"""Broden, the broadly and densely labelled images of network dissection, and any others in its layout."""

from datamodules.broden.broden import Broden
from datamodules.broden.label_mask import write_mask

__all__ = ["Broden", "write_mask"]
