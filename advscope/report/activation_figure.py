"""What layers respond to clean and to adversarial images: the mean of their activation over channels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advscope.report.examples import Arrays
from advscope.report.figure_style import WIDTH, class_name, style, write_block_heading, write_heading
from advscope.report.image_panel import draw_image, draw_map, draw_nothing
from advscope.report.map_colours import common_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 7
"""Layers beside each other; more would be stamps."""


class ActivationRun(NamedTuple):
    """One run's part of the figure."""

    arrays: Arrays
    """As :func:`~advscope.report.examples.load_examples` returns them."""
    order: Sequence[str] = ()
    """The layers from input to output, as far as they are known."""


def activation_layers(arrays: Arrays, attack: str, order: Iterable[str] = ()) -> list[str]:
    """Return the layers whose activations were kept, from input to output.

    Args:
        arrays: As :func:`~advscope.report.examples.load_examples` returns them.
        attack: Which attack's examples.
        order: Names of layers from input to output, or columns ``bias/{layer}/relative``: files of arrays are sorted by
            name and do not know. Those that it leaves out follow in the order of their names, numbers as numbers.
    """
    prefix = f"{attack}/activations/clean/"
    found = {name.removeprefix(prefix) for name in arrays if name.startswith(prefix)}
    known = [name.removeprefix("bias/").rpartition("/")[0] if name.startswith("bias/") else name for name in order]
    return [name for name in dict.fromkeys([*known, *sorted(found, key=_natural)]) if name in found]


def shared_indices(runs: Sequence[Arrays], attack: str) -> list[int]:
    """Return the images of which every run kept the same clean picture, in the first run's order."""
    if not runs or any(f"{attack}/indices" not in arrays for arrays in runs):
        return []
    pictures = [
        dict(zip(arrays[f"{attack}/indices"].tolist(), arrays[f"{attack}/images"], strict=True)) for arrays in runs
    ]
    # A number alone is no proof: runs may have been evaluated on different data.
    return [
        index
        for index, picture in pictures[0].items()
        if all(index in other and np.array_equal(other[index], picture) for other in pictures[1:])
    ]


def activation_figure(
    runs: Mapping[str, ActivationRun],
    attack: str,
    class_names: Sequence[str] | None = None,
    examples: int = 1,
    layers: int = 20,
    difference: bool = False,
) -> "Figure":
    """Draw the mean activation over channels of the first layers, clean above adversarial.

    Each image is a block; in it each run has two rows, the clean and the adversarial image with their activations,
    seven layers beside each other. A layer has one scale for both of a run, from the least to the greatest of their
    values (of the middle 99% where a few values lie far out), so that a change shows; layers and runs have their own.

    Args:
        runs: For each run's name its arrays.
        attack: Which attack's examples.
        class_names: Name of each class; numbers are shown without.
        examples: Images at most, of those that every run kept.
        layers: Layers of each run at most.
        difference: Whether a third row shows the absolute difference, from 0 to the greatest one of its layer.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If a run kept no activations, or no image is common to all.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Figures 9 and A9.
    """
    from matplotlib.figure import Figure

    names = {run: activation_layers(part.arrays, attack, part.order)[:layers] for run, part in runs.items()}
    for run, found in names.items():
        if not found:
            raise ValueError(f"{run} kept no activations of {attack}; add callbacks.ActivationMapsMonitor")
    indices = shared_indices([part.arrays for part in runs.values()], attack)[:examples]
    if not indices:
        raise ValueError(f"{', '.join(runs)} kept no image of {attack} in common; raise the number of examples")
    rows = 3 if difference else 2
    heights = [
        0.42 + -(-len(names[run]) // COLUMNS) * (0.42 + rows * WIDTH / (COLUMNS + 1.1)) for run in runs
    ] * len(indices)  # fmt: skip
    with style():
        figure = Figure(figsize=(WIDTH, 0.6 + sum(heights)), layout="constrained")
        title = "mean activation over channels, each layer clean and adversarial at one scale"
        write_heading(figure, f"{attack}: {title}")
        blocks = iter(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
        for index in indices:
            for run, part in runs.items():
                _draw_run(next(blocks), run, part.arrays, (attack, index), names[run], class_names, rows)
    return figure


def _draw_run(
    block: Any,
    run: str,
    arrays: Arrays,
    which: tuple[str, int],
    layers: Sequence[str],
    class_names: Sequence[str] | None,
    rows: int,
) -> None:
    """Draw one run's rows of one image."""
    attack, index = which
    position = arrays[f"{attack}/indices"].tolist().index(index)
    label, target = (class_name(arrays[f"{attack}/{name}"][position], class_names) for name in ("labels", "targets"))
    write_block_heading(block, f"{run}, image {index}:  {label} \N{RIGHTWARDS ARROW} {target}")
    lines = -(-len(layers) // COLUMNS)
    axes = block.subplots(rows * lines, COLUMNS + 1, squeeze=False)
    for line in range(lines):
        here = axes[rows * line : rows * (line + 1)]
        for row in here:
            for axis in row:
                draw_nothing(axis)
        for place, name in enumerate(("images", "adversarials")):
            image = arrays[f"{attack}/{name}"][position]
            here[place][0].set_axis_on()
            if image.shape[0] in (1, 3):
                draw_image(here[place][0], image, "")
            here[place][0].set_ylabel(("clean", "adversarial")[place], fontsize=8)
        for column, layer in enumerate(layers[COLUMNS * line : COLUMNS * (line + 1)], start=1):
            fields = [arrays[f"{attack}/activations/{kind}/{layer}"][position] for kind in ("clean", "adversarial")]
            limits = common_limits(fields)
            changes: list[tuple[NDArray[Any], tuple[float, float]]] = [(field, limits) for field in fields]
            if rows == 3:
                change = np.abs(fields[1].astype(np.float64) - fields[0])
                changes.append((change, (0.0, float(np.nanmax(change, initial=0)))))
            for row, (field, span) in zip(here, changes, strict=True):
                row[column].set_axis_on()
                draw_map(row[column], field, span, "", smooth=False)
            here[0][column].set_title(_broken(layer), fontsize=8)


def _broken(layer: str) -> str:
    """Return a layer's name on lines as wide as a panel, broken behind its dots."""
    lines = [""]
    for part in re.split(r"(?<=[._])", layer):
        if lines[-1] and len(lines[-1]) + len(part) > 10:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines[-2:])


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return what names are sorted by: numbers in them as numbers."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
