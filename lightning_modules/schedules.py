"""Learning rate schedules as functions of progress, so that they fit any number of epochs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence


class Schedule(ABC):
    """Scales the learning rate, step by step, over a training."""

    @abstractmethod
    def factor(self, progress: float) -> float:
        """Return the factor on the learning rate.

        Args:
            progress: Share of the training's steps that are done, in [0, 1].
        """


class Constant(Schedule):
    """The learning rate as it is."""

    def factor(self, progress: float) -> float:
        """Return 1."""
        return 1.0


class Steps(Schedule):
    """Multiplies the learning rate at fixed points of the training (He et al. 2016; Madry et al. 2018).

    Args:
        at: Shares of the training's steps, increasing, in (0, 1).
        gamma: What the learning rate is multiplied by at each.

    Raises:
        ValueError: If ``at`` is not increasing or leaves (0, 1).

    Example:
        >>> [Steps(at=[0.5, 0.75]).factor(progress) for progress in (0.49, 0.5)]
        [1.0, 0.1]
    """

    def __init__(self, at: Sequence[float] = (0.5, 0.75), gamma: float = 0.1) -> None:
        if list(at) != sorted(set(at)) or any(not 0 < point < 1 for point in at):
            raise ValueError(f"at must be increasing shares of the training in (0, 1), got {list(at)}")
        self.at = tuple(at)
        self.gamma = gamma

    def factor(self, progress: float) -> float:
        """Return gamma to the number of points passed."""
        return float(self.gamma ** sum(progress >= point for point in self.at))


class Cosine(Schedule):
    """Half a cosine from 1 to 0, after a linear warm-up.

    Args:
        warmup: Share of the training's steps over which the learning rate rises from 0, in [0, 1).

    References:
        Loshchilov & Hutter, *SGDR*, ICLR 2017, https://arxiv.org/abs/1608.03983, Eq. (5).
    """

    def __init__(self, warmup: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup must be in [0, 1), got {warmup}")
        self.warmup = warmup

    def factor(self, progress: float) -> float:
        """Return the rise, then the half cosine."""
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


class OneCycle(Schedule):
    """A straight line up to 1, then a straight line down to 0.

    Args:
        peak: Share of the training's steps at which the learning rate is highest, in (0, 1).

    References:
        Smith & Topin, *Super-Convergence*, 2018, https://arxiv.org/abs/1708.07120; for adversarial training
        Wong et al., *Fast is better than free*, ICLR 2020, https://arxiv.org/abs/2001.03994.
    """

    def __init__(self, peak: float = 0.4) -> None:
        if not 0 < peak < 1:
            raise ValueError(f"peak must be in (0, 1), got {peak}")
        self.peak = peak

    def factor(self, progress: float) -> float:
        """Return the height of the triangle."""
        return progress / self.peak if progress < self.peak else (1 - progress) / (1 - self.peak)
