"""What layers respond to clean and to adversarial images: the mean of their activation over channels."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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

    Each run has two rows for an image, the clean and the adversarial one with their activations, seven layers beside
    each other; runs with the same layers stand below each other. A layer has one scale for both of a run, from the
    least to the greatest of their values (of the middle 99% where a few values lie far out), so that a change shows;
    layers and runs have their own.

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
    kinds = 3 if difference else 2
    blocks = [
        (index, group, layers_here)
        for index in indices
        for group in _alike(names)
        for layers_here in (
            names[group[0]][start : start + COLUMNS] for start in range(0, len(names[group[0]]), COLUMNS)
        )
    ]
    heights = [0.75 + kinds * len(group) * WIDTH / (COLUMNS + 1.4) for _, group, _ in blocks]
    with style():
        figure = Figure(figsize=(WIDTH, 0.4 + sum(heights)), layout="constrained")
        write_heading(figure, f"{attack}: mean activation over channels, clean and adversarial at one scale")
        drawn = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for block, (index, group, layers_here) in zip(drawn, blocks, strict=True):
            arrays = [runs[run].arrays for run in group]
            classes = [
                class_name(each[f"{attack}/{kind}"][_place(each, attack, index)], class_names)
                for kind, each in (("labels", arrays[0]), *(("targets", each) for each in arrays))
            ]
            targets = " / ".join(dict.fromkeys(classes[1:]))
            write_block_heading(block, f"image {index}:  {classes[0]} \N{RIGHTWARDS ARROW} {targets}")
            axes = block.subplots(kinds * len(group), COLUMNS + 1, squeeze=False)
            for place, run in enumerate(group):
                # Written upwards beside a panel, a long name would run into that of the row above.
                name = f"{_broken(run, 14, 4)}\n" if len(runs) > 1 else ""
                _draw_run(axes[kinds * place : kinds * (place + 1)], arrays[place], (attack, index), layers_here, name)
            for column, layer in enumerate(layers_here, start=1):
                axes[0, column].set_title(_broken(layer), fontsize=8)
    return figure


def _alike(names: Mapping[str, list[str]]) -> list[list[str]]:
    """Return the runs, those with the same layers together: their rows stand below each other."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for run, layers in names.items():
        groups.setdefault(tuple(layers), []).append(run)
    return list(groups.values())


def _place(arrays: Arrays, attack: str, index: int) -> int:
    """Return the place of an image among a run's examples."""
    return int(np.flatnonzero(arrays[f"{attack}/indices"] == index)[0])


def _draw_run(axes: Any, arrays: Arrays, which: tuple[str, int], layers: Sequence[str], name: str) -> None:
    """Draw one run's rows of one image: two, or three with the difference."""
    attack, index = which
    position = _place(arrays, attack, index)
    for axis in axes.flatten():
        draw_nothing(axis)
    for row, kind in zip(axes, ("images", "adversarials", ""), strict=False):
        row[0].set_axis_on()
        row[0].set(xticks=[], yticks=[])
        row[0].spines[:].set_visible(False)
        if kind and arrays[f"{attack}/{kind}"].shape[1] in (1, 3):
            draw_image(row[0], arrays[f"{attack}/{kind}"][position], "")
        said = {"images": "clean", "adversarials": "adversarial", "": "difference"}[kind]
        row[0].set_ylabel(f"{name}{said}", fontsize=8)
    for column, layer in enumerate(layers, start=1):
        fields = [arrays[f"{attack}/activations/{kind}/{layer}"][position] for kind in ("clean", "adversarial")]
        scales = [common_limits(fields)] * 2
        fields.append(np.abs(fields[1].astype(np.float64) - fields[0]))
        scales.append((0.0, float(np.nanmax(fields[2], initial=0))))
        for row, field, scale in zip(axes, fields, scales, strict=False):
            row[column].set_axis_on()
            draw_map(row[column], field, scale, "", smooth=False)


def _broken(name: str, width: int = 10, last: int = 2) -> str:
    """Return the last lines of a name that is broken behind dots and underscores to a width in letters."""
    lines = [""]
    for part in re.split(r"(?<=[._])", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines[-last:])


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return what names are sorted by: numbers in them as numbers."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]
