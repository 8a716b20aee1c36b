"""The published figures of Xu et al. 2019: their Tables 1, 2 and A1, on 5,000 ImageNet images at 299 px.

The attacks are named as the paper names them; the networks are ResNet_v2_101 and Inception_v3, in this order. Where the
paper gives no figure, there is None.

References:
    Xu et al., *Interpreting Adversarial Examples by Activation Promotion and Suppression*, arXiv:1904.02057, 2019.
"""

from typing import NamedTuple

NETWORKS = ("ResNet_v2_101", "Inception_v3")
METHODS = ("IFGSM", "C&W", "EAD", "Str")
METHOD_OF = {
    "IFGSM": "IFGSM",
    "SmallestIFGSM": "IFGSM",
    "CarliniWagner": "C&W",
    "ElasticNet": "EAD",
    "Structured": "Str",
}
"""The paper's name of each attack's class."""

Pair = tuple[float | None, float | None]

CORRELATIONS: dict[str, dict[str, Pair]] = {
    "IFGSM": {"suppression": (0.303, 0.170), "promotion": (0.480, 0.220), "score": (0.522, 0.248)},
    "C&W": {"suppression": (0.507, 0.545), "promotion": (0.538, 0.517), "score": (0.609, 0.620)},
    "EAD": {"suppression": (0.602, 0.639), "promotion": (0.630, 0.655), "score": (0.710, 0.697)},
    "Str": {"suppression": (0.625, 0.643), "promotion": (0.720, 0.614), "score": (0.783, 0.702)},
}
"""Table 1: correlation of d0, dt and s with the l2 norm of the perturbation in a cell."""

SCORES: dict[str, dict[str, Pair]] = {
    "IFGSM": {"clean": (0.594, 0.634), "adversarial": (0.604, 0.655)},
    "C&W": {"clean": (0.610, 0.654), "adversarial": (0.823, 0.784)},
    "EAD": {"clean": (0.625, 0.630), "adversarial": (0.880, 0.865)},
    "Str": {"clean": (0.626, 0.767), "adversarial": (0.941, 0.983)},
}
"""Table 2: IS for the map of (x0, t0), ``clean``, and of (x', t), ``adversarial``."""


class Sizes(NamedTuple):
    """A row of Table A1 for both networks."""

    l0: Pair
    l1: Pair
    l2: Pair
    linf: Pair
    success_rate: Pair


SIZES: dict[str, tuple[Sizes, Sizes]] = {
    "IFGSM": (
        Sizes((266031, 266026), (1122.56, 812.94), (2.625, 1.926), (0.017, 0.019), (None, None)),
        Sizes((61055, 59881), (176.08, 155.89), (1.87, 1.22), (0.035, 0.033), (0.967, 1.0)),
    ),
    "C&W": (
        Sizes((268117, 268123), (183.65, 144.94), (0.697, 0.650), (0.028, 0.028), (None, None)),
        Sizes((21103, 22495), (134.26, 96.75), (0.727, 0.673), (0.029, 0.034), (1.0, 1.0)),
    ),
    "EAD": (
        Sizes((66584, 69677), (42.57, 30.17), (1.520, 1.289), (0.234, 0.229), (None, None)),
        Sizes((20147, 18855), (63.28, 45.88), (1.233, 1.107), (0.096, 0.083), (1.0, 1.0)),
    ),
    "Str": (
        Sizes((30823, 27873), (119.76, 86.55), (1.250, 1.174), (0.105, 0.103), (None, None)),
        Sizes((18744, 15967), (110.54, 82.33), (1.132, 0.985), (0.087, 0.072), (1.0, 1.0)),
    ),
}
"""Table A1: the sizes of the original attack, and of the one refined under S1."""
