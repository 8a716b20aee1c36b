"""ConceptShapes: the built-in data set, and its export into Broden's layout."""

from datamodules.concept_shapes.broden_export import export_broden
from datamodules.concept_shapes.concept_shapes import ConceptShapes

__all__ = ["ConceptShapes", "export_broden"]
