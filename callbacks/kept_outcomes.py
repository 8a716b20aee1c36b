"""What masked networks made of the test images, kept among an evaluation's shards."""

import hashlib
from collections import UserDict

import torch
from torch import Tensor

from advscope.measures import MaskedOutcome
from advscope.report import Shards

Units = tuple[int, ...]
"""Numbers of masked units, ascending."""


class KeptOutcomes(UserDict[Units, MaskedOutcome]):
    """Outcomes by masked units; each that is put in is written at once, and found again after a kill.

    The evaluation's shards belong to one network, attack and set of settings (``evaluation_identity.py``), and so do
    these. The units are looked up by their numbers: a ranking that has changed finds what it masks, and no other.

    Args:
        shards: Of the evaluation.
        layer: Whose units are masked.
        indices: Places in the data set of the images that this process takes, int64; outcomes over others are left.
    """

    def __init__(self, shards: Shards, layer: str, indices: Tensor) -> None:
        super().__init__()
        self.shards, self.layer, self.indices = shards, layer, indices
        for content in shards.parts():
            if content.get("masked_layer") == layer and torch.equal(content["of"], indices):
                self.data[tuple(content["units"])] = MaskedOutcome(*content["outcome"])

    def __setitem__(self, units: Units, outcome: MaskedOutcome) -> None:
        """Keep an outcome, and write it."""
        name = hashlib.sha256(repr((self.layer, units)).encode()).hexdigest()[:32]
        content = {"masked_layer": self.layer, "of": self.indices, "units": list(units), "outcome": list(outcome)}
        self.shards.write_part(f"masking_{name}", content)
        super().__setitem__(units, outcome)
