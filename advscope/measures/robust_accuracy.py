"""Clean accuracy, robust accuracy under each attack, and under all of them together."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from advscope.intervals import Estimate, rate
from advscope.measures.base import Tally


class RobustAccuracy(Tally):
    """Shares of images that are predicted as their label, with Wilson's 95% intervals.

    Over all images, whether or not their clean prediction is right; an image without a class (label -1) is left out.

    ============================ ====================================================================================
    Key                          Share of images whose
    ============================ ====================================================================================
    ``clean/accuracy``           clean image is predicted as its label
    ``{attack}/robust_accuracy`` image returned by that attack is still predicted as its label
    ``all/robust_accuracy``      image is predicted as its label for each of the attacks; absent without attacks
    ============================ ====================================================================================

    Args:
        attacks: Names of the attacks.

    Raises:
        ValueError: If a name appears twice, or is ``clean`` or ``all``.

    Example:
        >>> accuracy = RobustAccuracy(["one", "two"])
        >>> labels = torch.tensor([0, 1, 2, -1])
        >>> accuracy.update_clean(torch.tensor([0, 1, 2, 0]), labels)
        >>> accuracy.update_attacked({"one": torch.tensor([0, 1, 0, 0]), "two": torch.tensor([1, 1, 2, 0])}, labels)
        >>> [round(estimate.value, 3) for estimate in accuracy.compute().values()]  # clean, one, two, all
        [1.0, 0.667, 0.667, 0.333]
    """

    clean: Tensor
    withstood: Tensor

    def __init__(self, attacks: Sequence[str] = ()) -> None:
        super().__init__()
        self.attacks = tuple(attacks)
        if len(set(self.attacks)) < len(self.attacks) or {"clean", "all"} & set(self.attacks):
            raise ValueError(f"attacks must have different names, none 'clean' or 'all', got {list(self.attacks)}")
        self.add_state("clean", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")
        # One count per attack, one for all together, and the number of attacked images.
        self.add_state("withstood", torch.zeros(len(self.attacks) + 2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, labels: Tensor, clean: Tensor | None = None, attacked: Mapping[str, Tensor] | None = None) -> None:
        """Add a batch of ``N`` images: the predictions of the clean ones, of the attacked ones, or both.

        Args:
            labels: True classes, int64 ``(N,)``; images with -1 are left out.
            clean: Classes predicted for the clean images, ``(N,)``.
            attacked: Classes predicted for the images of each attack, ``(N,)`` by name; every attack at once.

        Raises:
            ValueError: If a shape is wrong, or an attack is missing or unknown.
        """
        if labels.ndim != 1:
            raise ValueError(f"labels must be (N,), got {tuple(labels.shape)}")
        known = labels >= 0
        if clean is not None:
            self.clean = self.clean + torch.stack([self._correct("clean", clean, labels).sum(), known.sum()])
        if attacked is not None:
            if set(attacked) != set(self.attacks):
                raise ValueError(f"predictions must be for the attacks {list(self.attacks)}, got {list(attacked)}")
            if self.attacks:
                correct = torch.stack([self._correct(name, attacked[name], labels) for name in self.attacks])
                self.withstood = self.withstood + torch.cat(
                    [correct.sum(1), correct.all(0).sum()[None], known.sum()[None]]
                )

    def update_clean(self, predictions: Tensor, labels: Tensor) -> None:
        """Add the predictions of clean images alone; arguments as for :meth:`update`."""
        self.update(labels, clean=predictions)

    def update_attacked(self, predictions: Mapping[str, Tensor], labels: Tensor) -> None:
        """Add the predictions of attacked images alone; arguments as for :meth:`update`."""
        self.update(labels, attacked=predictions)

    def compute(self) -> dict[str, Estimate]:
        """Return each share with its interval; ``nan`` where there is no image."""
        correct, count = self.clean.tolist()
        *withstood, attacked_count = self.withstood.tolist()
        estimates = {"clean/accuracy": rate(correct, count)}
        if self.attacks:
            names = (*self.attacks, "all")
            estimates |= {
                f"{name}/robust_accuracy": rate(number, attacked_count)
                for name, number in zip(names, withstood, strict=True)
            }
        return estimates

    @staticmethod
    def _correct(name: str, predictions: Tensor, labels: Tensor) -> Tensor:
        if predictions.shape != labels.shape:
            raise ValueError(
                f"predictions of {name!r} must be of shape {tuple(labels.shape)}, got {tuple(predictions.shape)}"
            )
        return (predictions == labels) & (labels >= 0)
