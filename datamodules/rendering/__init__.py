"""The renderer of ConceptShapes: pictures with known concepts, as functions of (seed, index)."""

from datamodules.rendering.concepts import CONCEPTS, LAYERS, concept_number, concept_numbers
from datamodules.rendering.palette import COLOURS
from datamodules.rendering.pattern import class_patterns
from datamodules.rendering.render import Rendered, render
from datamodules.rendering.scenes import SCENES
from datamodules.rendering.shapes import SHAPES
from datamodules.rendering.split import fingerprint, render_split
from datamodules.rendering.textures import TEXTURES

__all__ = [
    "COLOURS",
    "CONCEPTS",
    "LAYERS",
    "SCENES",
    "SHAPES",
    "TEXTURES",
    "Rendered",
    "class_patterns",
    "concept_number",
    "concept_numbers",
    "fingerprint",
    "render",
    "render_split",
]
