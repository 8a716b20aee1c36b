"""Carlini and Wagner's search for the least largest change: the bound is lowered below every success."""

import torch
from torch import Tensor
from tqdm import tqdm

from advscope.attacks.penalty.adam import adam_move, adam_schedule
from advscope.attacks.penalty.best import Best
from advscope.attacks.penalty.box import Box
from advscope.attacks.penalty.hinge import Hinge
from advscope.attacks.row_sums import spread

FACTOR = 0.9
"""What the bound is lowered to after a success, as a share of the largest change; its root is taken at a failure."""

LAST_FACTOR = 0.99
"""The search for an image ends when the factor exceeds this."""

RATE = 0.25
"""Adam's learning rate, as a share of the bound."""

WIDEST = 0.1
"""The learning rate grows with the bound up to this one."""


def smallest_largest_change(hinge: Hinge, box: Box, steps: int, name: str) -> Tensor:
    """Return images whose largest change is small, ``(N, C, H, W)``; the last images where none succeeds.

    Adam climbs the margin within a bound on the change of each value, which is held by clipping. A success lowers the
    bound to 0.9 of its largest change, and the climb goes on from there; after ``steps`` steps without one the bound is
    put nearer to the best success, until nothing is gained. Each image has bounds and steps of its own.

    Args:
        hinge: What the network says of the images.
        box: The images and their bounds.
        steps: Steps that an image is given for each bound.
        name: What the progress bar says.
    """
    # Shown after five seconds, in a terminal alone.
    with tqdm(total=len(box.images), desc=name, unit="image", delay=5, disable=None, leave=False) as bar:
        return _climb(hinge, box, steps, bar)


def _climb(hinge: Hinge, box: Box, steps: int, bar: "tqdm[None]") -> Tensor:
    """Return what :func:`smallest_largest_change` promises, and say on the way how many images are done."""
    results = box.images.clone()
    places = torch.arange(len(results), device=results.device)
    best, points = Best(box.images), box.images
    zeros = torch.zeros_like(best.worths)
    step, factors, bounds = zeros, zeros + FACTOR, zeros + 1
    schedule = adam_schedule(points, steps)
    state = {"first": torch.zeros_like(points), "second": torch.zeros_like(points)}
    while len(places):
        standing = hinge.at(points)
        changes = (points - box.images).abs().flatten(1).amax(1)
        better = standing.reached & (changes < best.worths)
        best.update(points, changes, standing.reached)
        failed = ~better & (step >= steps)
        factors = torch.where(failed, factors.sqrt(), factors)
        bounds = torch.where(better | failed, factors * best.worths, bounds)
        # An image that never succeeded has no bound to come back to.
        done = failed & ((factors > LAST_FACTOR) | best.worths.isinf()) | (best.worths == 0)
        if done.any():
            bar.update(int(done.sum()))
            fallback = spread(best.worths[done].isinf())
            results[places[done]] = torch.where(fallback, points[done], best.images[done])
            rest = (~done).nonzero().flatten()
            places, step, factors, bounds, better, failed, points = (
                values[rest] for values in (places, step, factors, bounds, better, failed, points)
            )
            gradients = standing.gradients[rest]
            state = {name: values[rest] for name, values in state.items()}
            hinge, box = hinge.rows(rest), box.rows(rest)
            best.keep(rest)
        else:
            gradients = standing.gradients
        afresh = better | failed
        step = torch.where(afresh, 0, step)
        state = {name: torch.where(spread(afresh), 0, values) for name, values in state.items()}
        points = torch.where(spread(failed), best.images, points)
        # A failed image starts again from the best one, whose gradient was not asked for: it waits one turn.
        move = adam_move(state, torch.where(spread(failed), 0, -gradients), schedule[:, step.long()])
        lower, upper = box.images - spread(bounds), box.images + spread(bounds)
        rate = spread(RATE * bounds.clamp(max=WIDEST))
        points = box.clip((points - rate * move).clamp(lower, upper))
        step = step + 1
    return results
