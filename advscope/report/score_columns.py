"""The columns of the interpretability score: by map, explainer, quantile and control."""

import re
from collections.abc import Iterable
from typing import NamedTuple

PAIRS = {"adversarial": "F(x', t)", "clean": "F(x, t0)"}
"""The two maps that a perturbation is scored against, and how figures call them."""

CONTROLS = {
    "": "attack",
    "noise": "random, same norm",
    "shuffled": "shuffled pixels",
    "shuffled_cells": "shuffled cells",
}
"""Perturbations that are scored: the attack's own, and random ones of the same size or sparsity, by suffix."""

_COLUMN = re.compile(r"is/(score|chance|excess|mask_share)_(clean|adversarial)(?:_(.+?))??(?:_at_(\d+(?:\.\d+)?))?")


class ScoreColumn(NamedTuple):
    """What a column ``is/{field}_{pair}[_{control}][_{explainer}][_at_{percent}]`` holds."""

    field: str
    """``score``, ``chance``, ``excess`` or ``mask_share``."""
    pair: str
    """``clean`` for the map of (x, t0), ``adversarial`` for that of (x', t)."""
    explainer: str = ""
    """Whose map; empty for the monitor's main explainer."""
    control: str = ""
    """Which perturbation, a key of :data:`CONTROLS`."""
    percent: float | None = None
    """The quantile of the mask in percent; None for the monitor's own."""

    @property
    def name(self) -> str:
        """The column's name."""
        at = "" if self.percent is None else f"at_{self.percent:g}"
        return "is/" + "_".join(part for part in (self.field, self.pair, self.control, self.explainer, at) if part)

    def chance(self) -> str:
        """Return the name of the column that holds the chance level: that of the mask, which no control changes."""
        return self._replace(field="chance", control="").name


def score_column(name: str) -> ScoreColumn | None:
    """Return what a column holds, None where it is none of the score's.

    Example:
        >>> score_column("is/score_clean_noise").control, score_column("is/chance_adversarial_gradcam_at_60").percent
        ('noise', 60.0)
    """
    match = _COLUMN.fullmatch(name)
    if match is None:
        return None
    field, pair, variant, percent = match.groups()
    variant = variant or ""
    # The longest first: shuffled_cells begins with another control. No explainer may begin with one.
    for control in sorted(filter(None, CONTROLS), key=len, reverse=True):
        if variant == control or variant.startswith(f"{control}_"):
            explainer = variant.removeprefix(control).lstrip("_")
            return ScoreColumn(field, pair, explainer, control, float(percent) if percent else None)
    return ScoreColumn(field, pair, variant, "", float(percent) if percent else None)


def score_columns(names: Iterable[str]) -> list[ScoreColumn]:
    """Return what the score's own columns (field ``score``) hold, in their order."""
    return [found for name in names if (found := score_column(name)) is not None and found.field == "score"]


def chance_behind_score(names: Iterable[str]) -> list[str]:
    """Return columns in their order, but each chance level right behind the score that it belongs to.

    Example:
        >>> chance_behind_score(["is/chance_clean", "is/score_clean", "is/score_clean_noise"])
        ['is/score_clean', 'is/chance_clean', 'is/score_clean_noise']
    """
    listed = list(names)
    chances = {column.name: column.chance() for column in score_columns(listed) if not column.control}
    moved = {chance for chance in chances.values() if chance in listed}
    ordered = []
    for name in listed:
        if name not in moved:
            ordered += [name, chances[name]] if chances.get(name) in moved else [name]
    return ordered
