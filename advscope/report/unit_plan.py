"""Which figures of dissected units, and of layers' activations, an evaluation's results allow."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from advscope.report.masking_figure import masking_figure
from advscope.report.significance_figure import significance_figure
from advscope.report.top_detector_figure import top_detector_figure, top_detectors
from advscope.report.top_image_figure import top_image_figure
from advscope.report.top_images import TopImages, read_top_images
from advscope.report.unit_example_figure import unit_example_figure
from advscope.report.unit_examples import UnitExamples, read_unit_examples
from advscope.report.unit_explanation_figure import unit_explanation_figure
from advscope.report.unit_figures import detector_figure, layers_of, sensitivity_figure
from advscope.tables import read_masking, read_significances
from advscope.tables.csv_table import Table
from advscope.tables.unit_rows import Units, read_units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWABLE = (1, 3)
_Read = TypeVar("_Read")


class UnitEvidence(NamedTuple):
    """What a dissection left behind beside the evaluation's figures; None where there is no such file."""

    units: Units | None = None
    """The per-unit table, ``units.csv``."""
    significance: Table | None = None
    """The p-values, ``significance.csv``."""
    masking: Table | None = None
    """Accuracies with masked units, ``masking.csv``."""
    examples: UnitExamples | None = None
    """Image pairs with the masks of units, ``unit_examples.npz``."""
    top_images: TopImages | None = None
    """Each unit's images of the largest activations, ``top_images.npz``."""


def read_unit_evidence(folder: str | Path) -> UnitEvidence:
    """Read what there is, each file once.

    Args:
        folder: ``RUN/results/NAME``.

    Raises:
        ValueError: If a file is damaged.
    """
    folder = Path(folder)
    return UnitEvidence(
        _read(folder / "units.csv", read_units),
        _read(folder / "significance.csv", read_significances),
        _read(folder / "masking.csv", read_masking),
        _read(folder / "unit_examples.npz", read_unit_examples),
        _read(folder / "top_images.npz", read_top_images),
    )


def unit_plan(
    name: str, found: UnitEvidence, counts: Mapping[str, Mapping[str, int]], examples: int
) -> dict[str, "Callable[[], Figure]"]:
    """Return the figures that the files allow, to be drawn by calling them.

    Args:
        name: Name of the run, for the titles.
        found: What the dissection left behind.
        counts: For each attack its ``attacked`` images among others, for the titles.
        examples: Image pairs at most.

    Returns:
        ``units_sensitivity``, ``units_detectors``, ``units_top_detectors``, ``units_significance``, ``unit_examples``,
        ``unit_explanations``, ``unit_top_images``, ``masking``; those whose file is not there, or holds nothing that
        can be drawn, are left out.
    """
    plan: dict[str, Callable[[], Figure]] = {}
    units = found.units
    if units is not None:
        attacked = [count["attacked"] for key, count in counts.items() if key.endswith("/dissection")]
        over = f" (n = {attacked[0]} attacked)" if attacked else ""
        title = f"{name}: sensitivity against interpretability of units{over}"
        plan["units_sensitivity"] = partial(sensitivity_figure, units, title)
        title = f"{name}: units that detect a concept, by category"
        plan["units_detectors"] = partial(detector_figure, {name: units}, title)
        if units["detector"].any() and any(top_detectors(units, layer) for layer in layers_of(units)):
            title = f"{name}: detectors among the most sensitive units{over}"
            plan["units_top_detectors"] = partial(top_detector_figure, units, title)
    if found.significance is not None and len(found.significance["layer"]):
        title = f"{name}: are sensitive units more interpretable?"
        plan["units_significance"] = partial(significance_figure, {name: found.significance}, title)
    pairs = found.examples
    if pairs is not None and len(pairs.images) and len(pairs.units) and pairs.images.shape[1] in _DRAWABLE:
        title = f"{name}: where units respond, clean and adversarial"
        plan["unit_examples"] = partial(unit_example_figure, pairs, title, examples)
        if pairs.map_true is not None or pairs.cells is not None:
            title = f"{name}: units, class activation maps and PSR of the same images"
            plan["unit_explanations"] = partial(unit_explanation_figure, pairs, title, examples)
    top = found.top_images
    if top is not None and top.indices.size and top.images.shape[2] in _DRAWABLE:
        title = f"{name}: images with the largest activations"
        plan["unit_top_images"] = partial(top_image_figure, top, title)
    if found.masking is not None and len(found.masking["layer"]):
        plan["masking"] = partial(masking_figure, {name: found.masking}, f"{name}: accuracy with masked units")
    return plan


def _read(path: Path, reader: Callable[[Path], _Read]) -> _Read | None:
    """Return what a file holds, None where it is not there."""
    return reader(path) if path.exists() else None
