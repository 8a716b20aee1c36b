"""The sizes of refined attacks' perturbations beside those of the original attacks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from advscope.intervals import Estimate
from advscope.report.box_groups import box_place, draw_means
from advscope.report.figure_style import LINE_COLOURS, LINE_MARKERS, WIDTH, style, write_heading
from advscope.report.refined_figure import REGIONS, refined_families
from advscope.report.summary import estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NORMS = {
    "l0": "l0 (elements)",
    "l1": "l1",
    "l2": "l2",
    "linf": "l\N{INFINITY}",
}
_LOG = 10.0
"""Where the largest mean is so many times the smallest, or more, an axis is logarithmic."""


def refined_sizes_figure(
    figures: Mapping[str, Mapping[str, Any] | Estimate], title: str = "", stage: str = "test"
) -> "Figure":
    """Draw the mean l0, l1, l2 and l-inf norm of each attack, original and refined, with 95% intervals.

    Each mean is over the images that its own attack succeeded on; the success rate, the share of eligible images, has
    a panel of its own below, where it is known: a refined attack may be small because it fails on the hard images.

    Args:
        figures: Figures by log key, as in a summary.
        title: What stands before the number of images.
        stage: First part of the keys.

    Returns:
        A figure without a window.

    Raises:
        ValueError: If no attack with sizes stands beside its refined form.

    References:
        Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, 2019,
        https://arxiv.org/abs/1904.02057, Table A1.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    def found(attack: str, quantity: str) -> Estimate | None:
        fields = figures.get(f"{stage}/{attack}/size/{quantity}")
        return None if fields is None else estimate(fields)

    measured = [key.split("/")[1] for key in figures if key.startswith(f"{stage}/") and key.endswith("/size/l2")]
    families = refined_families(measured)
    if not families:
        raise ValueError(
            "the figures hold no sizes of an attack beside its refined form (NAME and NAME_s1 or NAME_s2); evaluate"
            " refined attacks with callbacks.PerturbationSizeMonitor"
        )
    rates = any(found(form, "success_rate") for forms in families.values() for form in forms)
    panels = _NORMS | ({"success_rate": "success rate"} if rates else {})
    numbers = {
        size.n for forms in families.values() for form in forms if (size := found(form, "l2")) is not None
    }  # fmt: skip
    number = f"n = {min(numbers)}" if len(numbers) == 1 else f"n = {min(numbers)} to {max(numbers)}"
    with style():
        lines = -(-len(panels) // 2)
        figure = Figure(figsize=(WIDTH, 1.0 + 2.2 * lines), layout="constrained")
        write_heading(figure, f"{title or 'Original and refined attacks'} ({number}; bars: 95% intervals)")
        handles: dict[str, Any] = {}
        axes = figure.subplots(lines, 2).flatten()
        for axis, (quantity, name) in zip(axes, panels.items(), strict=False):
            shown = []
            for place, (suffix, kind) in enumerate(REGIONS.items()):
                here = [(group, found(attack + suffix, quantity)) for group, attack in enumerate(families)]
                drawn = [(box_place(group, place, len(REGIONS)), each) for group, each in here if each is not None]
                if drawn:
                    spots, means = zip(*drawn, strict=True)
                    handles[kind] = draw_means(axis, spots, means, LINE_COLOURS[place], LINE_MARKERS[place])
                    shown += [each.value for each in means if each.value == each.value]
            if quantity == "success_rate":
                axis.set_ylim(-0.03, 1.06)
                axis.yaxis.set_major_formatter(PercentFormatter(1))
            elif shown and min(shown) > 0 and max(shown) / min(shown) >= _LOG:
                axis.set_yscale("log")
            else:
                axis.set_ylim(0, axis.get_ylim()[1] * 1.05)
            axis.set_ylabel(name)
            axis.set_xticks(range(len(families)), list(families))
            axis.set_xlim(-0.5, len(families) - 0.5)
            axis.tick_params(axis="x", length=0)
            axis.grid(axis="y")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles))
    return figure
