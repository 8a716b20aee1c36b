"""The logits of images with one cell changed, computed where the cell changes anything."""

from advscope.measures.partial_forward.forward import PartialForward
from advscope.measures.partial_forward.reason import NotApplicableError

__all__ = ["NotApplicableError", "PartialForward"]
