"""Whether the most sensitive units are more interpretable than random units whose masks are as large as theirs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from advscope.measures.dissection.random_sums import random_sums
from advscope.measures.dissection.ranked_units import RankedUnits
from advscope.measures.dissection.unit_significance import check_draws

_FEWEST = 10
_UNITS = 5


def matched_p_values(
    scores: Tensor,
    sensitivity: Tensor,
    areas: Tensor,
    tops: Sequence[int],
    draws: int = 10_000,
    seed: int = 0,
    strata: int | None = None,
) -> dict[int, float]:
    r"""Return how rarely random units of the same areas score as high as the N most sensitive ones, for each N.

    A unit that is active on more pixels meets more concepts and has more pixels to flip: it is more interpretable on
    average and more sensitive, whether or not one has to do with the other. Here the random sets of
    :func:`~advscope.measures.dissection.unit_significance.top_units_p_values` have the areas of the top ones: the K'
    units are ranked by area (equal areas by their order) and the one of rank r = 0, 1, ... is in stratum
    :math:`\lfloor r S / K' \rfloor` of S; a random set takes as many units of each stratum as are among the top N.
    Units of one stratum are compared with each other alone, so that p is uniform where score and sensitivity are
    independent given the stratum. A stratum that has all of its units in the top, or none, compares nothing: it adds
    the same to every set.

    S is by default the larger of 10 and K' // 5. Deciles alone are too wide for a large layer, whose most sensitive
    units all lie in the tail of the last one, where areas still differ: of simulations in which score and sensitivity
    follow the area and nothing else, with 2,048 units p(100) was below 0.05 in 44% to all with deciles, by the noise,
    and in 3% to 4% with strata of 5; with 64 or 256 units in 8% to 14%, and in 5% to 11%. What is left of the areas
    inside a stratum still counts: a p just below 0.05 is weak evidence.

    Args:
        scores: What units are judged by, as their interpretability: at least 0, ``(K,)``.
        sensitivity: What ranks them, ``(K,)``.
        areas: Pixels on which each unit is active, ``(K,)``.
        tops: The N, each at least 1.
        draws: Random sets for each N.
        seed: Seed of the draws.
        strata: S, at least 1; 1 makes it the test without areas.

    Returns:
        For each N its p, in (0, 1], counted as there. Units for which a figure is ``nan`` are left out; ``nan`` where
        no more than N are left, or no stratum has units both in the top and not.

    Raises:
        ValueError: If ``strata``, an N or ``draws`` is less than 1, the shapes differ, or a score is negative or huge.

    References:
        Rosenbaum, *Conditional Permutation Tests and the Propensity Score in Observational Studies*, JASA 79, 1984:
        permutations within strata.
    """
    check_draws(tops, draws)
    if areas.shape != scores.shape:
        raise ValueError(f"areas must be as scores {tuple(scores.shape)}, got {tuple(areas.shape)}")
    if strata is not None and strata < 1:
        raise ValueError(f"strata must be at least 1, got {strata}")
    areas = areas.double()
    ranked = RankedUnits.of(scores, sensitivity.double().where(~areas.isnan(), torch.nan))
    count = len(ranked.scores)
    possible = [top for top in dict.fromkeys(tops) if top < count]
    if not possible:
        return dict.fromkeys(tops, math.nan)
    number = min(max(_FEWEST, count // _UNITS) if strata is None else strata, count)
    by_area = areas[ranked.known].argsort(stable=True)
    stratum = torch.empty_like(by_area)
    stratum[by_area] = torch.arange(count, device=by_area.device) * number // count
    sizes = stratum.bincount(minlength=number)
    counts = torch.stack([stratum[ranked.order[:top]].bincount(minlength=number) for top in possible])
    sums = random_sums(_table(ranked.scores, by_area, sizes), sizes, counts, draws, seed)
    observed = ranked.top_sums()[torch.tensor(possible, device=by_area.device) - 1]
    reached = (sums >= observed[:, None]).sum(1).tolist()
    free = ((counts > 0) & (counts < sizes)).any(1).tolist()
    p_values = {
        top: (1 + times) / (1 + draws) if compares else math.nan
        for top, times, compares in zip(possible, reached, free, strict=True)
    }
    return {top: p_values.get(top, math.nan) for top in tops}


def _table(scores: Tensor, by_area: Tensor, sizes: Tensor) -> Tensor:
    """Return the scores of each stratum, ``(S, m)``, padded with 0, in the order of their areas."""
    places = torch.arange(int(sizes.max()), device=scores.device)
    table = scores.new_zeros(len(sizes), len(places))
    # Both are filled stratum by stratum: the strata are consecutive in the order of areas.
    table[places < sizes[:, None]] = scores[by_area]
    return table
