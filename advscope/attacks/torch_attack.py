"""torchattacks' catalogue under advscope's call."""

import inspect
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack
from advscope.attacks.settings import whole
from advscope.counter_hash import hash32

_WRAPPERS = {"LGV": "it trains networks on data", "MultiAttack": "use advscope.attacks.FirstSuccess"}
"""What torchattacks lists but is no attack by itself, and why."""

_NOT_TARGETED = {"FAB", "Jitter"}
"""Attacks whose targeted mode does not work: FAB takes targets for ranks of classes, Jitter moves away from them."""


class TorchAttack(Attack):
    """Any attack of torchattacks, by name; the network and the global random states are left as found.

    What torchattacks does in between stays as it is:

    - Its attacks draw from the global random states, which are seeded here for each call by (seed, draw). A call can be
      repeated, but **the noise of an image depends on its batch and its place in it**; ``indices`` do not count.
    - Some couple the images of a batch by their stopping rules and schedules (CW, EADEN and EADL1 stop together and
      share constants), or leave out images that the network gets wrong (APGD, APGDT, FAB, Square, AutoAttack).
    - Known faults of 3.5.1: CW fails on negative logits, and freezes pixels that are 0 or 1; EADEN and EADL1 ignore
      ``kappa`` in a batch; AutoAttack leaves its attacks at 10 steps; JSMA without targets takes it that there are 10
      classes; the targeted modes of FAB and Jitter do not work, and are refused.

    With a mask each image is attacked by itself, on a network that sees the clean pixels outside of it: N calls of
    torchattacks in place of one, and so the time of N batches of one image (on a GPU nearly N times as long). The seed
    of an image is then a function of (seed, draw, index), so that here its result does not depend on the batch. What an
    attack does outside, a random start say, has no effect, but counts for the norms that torchattacks takes.

    Results are clipped to [0, 1]. ``n_classes``, where an attack takes it and it is not given, is torchattacks' default
    (10) or the network's number of classes, whichever is smaller.

    In YAML the settings stand under ``dict_kwargs``::

        class_path: advscope.attacks.TorchAttack
        init_args: {name: APGD}
        dict_kwargs: {eps: 8/255, steps: 100}

    Args:
        name: Class name in torchattacks, such as ``"CW"``, ``"APGD"``, ``"Square"``.
        seed: Seed of each call, at least 0 and below 2**32; attacks with a setting ``seed`` get it, too.
        **settings: Settings of that class, all but its ``model``; such as JSON can hold.

    Raises:
        ImportError: If torchattacks is not installed; with the command that installs it.
        ValueError: If there is no such attack, it does not take a setting, or a setting is no plain value; when called,
            if targets are given to an attack without a working targeted mode.

    References:
        Kim, *Torchattacks: A PyTorch Repository for Adversarial Attacks*, 2020, https://arxiv.org/abs/2010.01950.
    """

    def __init__(self, name: str, seed: int = 0, **settings: Any) -> None:
        allowed = _settings_of(_find(name))
        unknown = sorted(set(settings) - set(allowed))
        if unknown:
            takes = ", ".join(allowed) or "none"
            raise ValueError(f"torchattacks' {name} takes no setting {', '.join(unknown)}; its settings are: {takes}")
        try:
            json.dumps(settings)
        except TypeError:
            raise ValueError(f"settings must be numbers, words, lists or null, got {settings!r}") from None
        if not 0 <= whole("seed", seed) < 2**32:
            raise ValueError(f"seed must be at least 0 and below 2**32, got {seed}")
        self.name = name
        self.seed = seed
        self.extra = settings

    def settings(self) -> dict[str, Any]:
        """Return the settings, those of the torchattacks class among them; see :meth:`Attack.settings`."""
        return super().settings() | self.extra

    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
        mask: Tensor | None,
    ) -> Tensor:
        """Run the attack in random states of its own; see :meth:`Attack.perturb`."""
        kind = _find(self.name)
        extra = dict(self.extra)
        defaults = _settings_of(kind)
        if "n_classes" in defaults and "n_classes" not in extra:
            with torch.no_grad():
                extra["n_classes"] = min(defaults["n_classes"], network(images[:1]).shape[1])
        if mask is None:
            # Draw 0 keeps the seed, and so agrees with torchattacks under the same one.
            seed = self.seed if draw == 0 else int(hash32(self.seed, torch.tensor(draw)))
            return self._run(kind, extra, network, images, labels, targets, seed)
        found = images.clone()
        for row in mask.flatten(1).any(1).nonzero().flatten().tolist():
            part = slice(row, row + 1)
            inside = _Inside(network, images[part], mask[part]).eval()
            aim = None if targets is None else targets[part]
            seed = int(hash32(self.seed, draw, indices[row]))
            # What the attack changes outside the mask the network has not seen.
            changed = self._run(kind, extra, inside, images[part], labels[part], aim, seed)
            found[part] = torch.where(mask[part], changed, images[part])
        return found

    def _run(
        self,
        kind: type[Any],
        extra: dict[str, Any],
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        seed: int,
    ) -> Tensor:
        """Return what the class of torchattacks makes of the images."""
        if "seed" in _settings_of(kind):
            extra = extra | {"seed": seed}
        with _random_states(seed):
            attack = kind(_Model(network, images.device).eval(), **extra)
            if targets is not None:
                if "targeted" not in attack.supported_mode or self.name in _NOT_TARGETED:
                    raise ValueError(
                        f"torchattacks' {self.name} has no targeted mode that works: leave the targets out"
                    )
                attack.set_mode_targeted_by_label(quiet=True)
            # Several of torchattacks' attacks take views that a channels_last tensor does not allow.
            found: Tensor = attack(images.contiguous(), labels if targets is None else targets)
        return found.detach().to(images).clamp(0, 1)


class _Inside(nn.Module):
    """A network that sees one clean image wherever a mask is false, whatever it is shown."""

    def __init__(self, network: nn.Module, image: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.network, self.image, self.mask = network, image, mask

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ``(N, C, H, W)`` variants of the image, ``(N, K)``; outside no gradient flows."""
        logits: Tensor = self.network(torch.where(self.mask, images, self.image))
        return logits


class _Model(nn.Module):
    """A network that tells its device by its first parameter, as torchattacks asks for it."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.location = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(_ContiguousGradient.apply(images))
        return logits


class _ContiguousGradient(torch.autograd.Function):
    """The identity, whose gradient is contiguous also where the network computes in channels_last."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        """Return the images."""
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient in the usual order of memory."""
        return gradient.contiguous()


def _find(name: str) -> type[Any]:
    """Return the class of an attack of torchattacks."""
    catalogue = torch_attack_names()
    if name in _WRAPPERS:
        raise ValueError(f"torchattacks' {name} is no attack by itself: {_WRAPPERS[name]}")
    if name not in catalogue:
        near = get_close_matches(name, catalogue, n=3, cutoff=0.3) or catalogue[:3]
        raise ValueError(f"torchattacks has no attack {name!r}; the nearest names are {', '.join(near)}")
    import torchattacks

    kind: type[Any] = getattr(torchattacks, name)
    return kind


def torch_attack_names() -> list[str]:
    """Return the names of torchattacks' attacks, sorted.

    Raises:
        ImportError: If torchattacks is not installed; with the command that installs it.
    """
    try:
        import torchattacks
    except ImportError:
        raise ImportError("torchattacks is not installed: pip install --no-deps torchattacks") from None
    return sorted(set(torchattacks.__all__) - set(_WRAPPERS))


def _settings_of(kind: type[Any]) -> dict[str, Any]:
    """Return the settings that an attack of torchattacks takes, with their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.name != "model"}


@contextmanager
def _random_states(seed: int) -> Iterator[None]:
    """Seed the global random states of torch (CPU and CUDA), numpy and Python; restore them."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    # Seeding torch seeds every CUDA device. One that is not in use yet must not be woken for that.
    awake = torch.cuda.is_initialized()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if awake else []):
            torch.manual_seed(seed)
            np.random.seed(seed)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if not awake and torch.cuda.is_available():
            # The seed that CUDA would have started with, in place of the attack's.
            torch.cuda.manual_seed_all(torch.initial_seed())
