"""What the measures share: means over the images that count, and the check of an image pair."""

import zlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from advscope.intervals import Estimate, mean


class Tally(Metric):
    """A metric whose states keep their number format, whatever the module around it is cast to.

    Sums in float64 and counts in int64 add up in any order, batching and number of processes to far below 1e-9.
    A subclass replaces its states and never adds to them in place: processes that are spawned share the memory of the
    tensors that they are handed.
    """

    full_state_update = False

    def state(self) -> dict[str, Tensor | int]:
        """Return what this process has added up so far; :meth:`restore` takes it up again, to the last bit."""
        tensors = {name: getattr(self, name).detach().cpu().clone() for name in self._defaults}
        return tensors | {"updates": self._update_count}

    def restore(self, state: Mapping[str, Tensor | int]) -> None:
        """Go on from what :meth:`state` returned.

        Raises:
            ValueError: If it is of another metric.
        """
        if set(state) != {*self._defaults, "updates"}:
            raise ValueError(f"the state must hold {[*self._defaults, 'updates']}, got {list(state)}")
        self._update_count = int(state["updates"])
        for name in self._defaults:
            setattr(self, name, torch.as_tensor(state[name]).to(self.device))

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        def moved(tensor: Tensor) -> Tensor:
            applied = fn(tensor)
            # The device is taken over, the number format is not: a sum rounded to bfloat16 is lost for good.
            return applied if applied.dtype == tensor.dtype else tensor.to(applied.device)

        return super()._apply(moved, exclude_state)


class ImageMeans(Tally):
    """The means of per-image quantities over the attacked images, each with its 95% interval.

    Applies who counts: only rows with ``attacked`` enter. A row that is not eligible is counted as ``ineligible``, an
    eligible one that the attack failed on as ``failed``; a ``nan`` of an attacked row is counted as undefined for its
    quantity and leaves the others alone.

    Args:
        quantities: Names of the quantities.

    Raises:
        ValueError: If there is none, or one is named twice.

    Example:
        >>> means = ImageMeans(["score"])
        >>> attacked = torch.tensor([True, True, True, False])
        >>> means.update({"score": torch.tensor([1.0, 3.0, torch.nan, 9.0])}, torch.ones(4, dtype=torch.bool), attacked)
        >>> estimate = means.compute()["score"]
        >>> estimate.value, estimate.n, estimate.undefined
        (2.0, 2, 1)
        >>> means.counts()
        {'eligible': 4, 'ineligible': 0, 'attacked': 3, 'failed': 1}
    """

    total: Tensor
    squares: Tensor
    defined: Tensor
    undefined: Tensor
    images: Tensor
    names: Tensor

    def __init__(self, quantities: Sequence[str]) -> None:
        super().__init__()
        self.quantities = tuple(quantities)
        if not self.quantities or len(set(self.quantities)) < len(self.quantities):
            raise ValueError(f"quantities must be one or more different names, got {list(self.quantities)}")
        count = len(self.quantities)
        self.add_state("total", torch.zeros(count, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros(count, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("defined", torch.zeros(count, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("undefined", torch.zeros(count, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="sum")
        # MetricCollection merges metrics whose states are equal after the first batch, as they are for two measures
        # when that batch has no attacked image: the names keep them apart.
        self.add_state("names", torch.tensor(zlib.crc32("\n".join(self.quantities).encode())), dist_reduce_fx="max")

    def update(self, columns: Mapping[str, Tensor], eligible: Tensor, attacked: Tensor) -> None:
        """Add a batch of ``N`` images.

        Args:
            columns: Values by quantity, ``(N,)`` each, ``nan`` where undefined; for every row, also for
                those that do not count.
            eligible: Whether the clean prediction is the label, bool ``(N,)``.
            attacked: Whether the image is eligible and the attack succeeded on it, bool ``(N,)``.

        Raises:
            ValueError: If a quantity is missing or unknown, a shape or type is wrong, or an attacked row not eligible.
        """
        if set(columns) != set(self.quantities):
            missing, unknown = set(self.quantities) - set(columns), set(columns) - set(self.quantities)
            raise ValueError(
                f"columns must be the metric's quantities; missing {sorted(missing)}, unknown {sorted(unknown)}"
            )
        for name, flags in (("eligible", eligible), ("attacked", attacked)):
            if flags.dtype != torch.bool or flags.ndim != 1 or flags.shape != eligible.shape:
                raise ValueError(f"{name} must be bool (N,), got {flags.dtype} {tuple(flags.shape)}")
        for name, column in columns.items():
            if column.shape != eligible.shape:
                raise ValueError(f"column {name!r} must be of shape {tuple(eligible.shape)}, got {tuple(column.shape)}")
        if bool((attacked & ~eligible).any()):
            raise ValueError("attacked images must be eligible: pass attacked & eligible")
        values = torch.stack([columns[name].detach().double() for name in self.quantities], dim=1)[attacked]
        absent = values.isnan()
        values = values.masked_fill(absent, 0.0)
        self.total = self.total + values.sum(0)
        self.squares = self.squares + values.square().sum(0)
        self.undefined = self.undefined + absent.sum(0)
        self.defined = self.defined + (~absent).sum(0)
        self.images = self.images + torch.stack(
            [eligible.sum(), (~eligible).sum(), attacked.sum(), (eligible & ~attacked).sum()]
        )

    def compute(self) -> dict[str, Estimate]:
        """Return each quantity's mean +- 1.96 s / sqrt(n); ``nan`` if it is defined for no attacked image."""
        columns = zip(
            self.total.tolist(), self.squares.tolist(), self.defined.tolist(), self.undefined.tolist(), strict=True
        )
        return {name: mean(*column) for name, column in zip(self.quantities, columns, strict=True)}

    def counts(self) -> dict[str, int]:
        """Return the numbers of eligible, ineligible, attacked and failed images, over all processes."""
        with self.sync_context():
            return dict(zip(("eligible", "ineligible", "attacked", "failed"), self.images.tolist(), strict=True))


def check_pair(images: Tensor, adversarials: Tensor) -> None:
    """Check that two tensors are images of one shape ``(N, C, H, W)`` and float type.

    Raises:
        ValueError: If they are not.
    """
    for name, tensor in (("images", images), ("adversarials", adversarials)):
        if tensor.ndim != 4 or not tensor.is_floating_point():
            raise ValueError(f"{name} must be float (N, C, H, W), got {tensor.dtype} {tuple(tensor.shape)}")
    if images.shape != adversarials.shape or images.dtype != adversarials.dtype:
        raise ValueError(
            "images and adversarials must be of one shape and type, got "
            f"{images.dtype} {tuple(images.shape)} and {adversarials.dtype} {tuple(adversarials.shape)}"
        )
