"""torchattacks' catalogue under advscope's call."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advscope.attacks.base import Attack


class TorchAttack(Attack):
    """Any attack of torchattacks, by name.

    The network and the global random state are left as found. What torchattacks itself does stays as it is: its attacks
    draw from the global random state (seeded here for each call, so that a call can be repeated), and some couple the
    images of a batch, so the result for an image may depend on its batch, its order, ``indices`` and ``draw`` do not
    count, and advscope's promise of batch independence does not hold. Known faults of torchattacks 3.5.1: its CW fails
    on negative logits, and its EADEN ignores the confidence in a batch.

    In YAML the settings stand under ``dict_kwargs``::

        class_path: advscope.attacks.TorchAttack
        init_args: {name: APGD}
        dict_kwargs: {eps: 8/255, steps: 100}

    Args:
        name: Class name in torchattacks, such as ``"CW"``, ``"APGD"``, ``"Square"``.
        seed: Seed of each call; attacks with a setting ``seed`` get it, too.
        **settings: Settings of that class, all but its ``model``.

    Raises:
        ImportError: If torchattacks is not installed; with the command that installs it.
        ValueError: If there is no such attack, or it does not take a setting.

    References:
        Kim, *Torchattacks: A PyTorch Repository for Adversarial Attacks*, 2020, https://arxiv.org/abs/2010.01950.
    """

    def __init__(self, name: str, seed: int = 0, **settings: Any) -> None:
        catalogue = _catalogue()
        if name not in catalogue:
            near = get_close_matches(name, catalogue, n=3, cutoff=0.3) or sorted(catalogue)[:3]
            raise ValueError(f"torchattacks has no attack {name!r}; the nearest names are {', '.join(near)}")
        allowed = _settings_of(catalogue[name])
        unknown = sorted(set(settings) - set(allowed))
        if unknown:
            raise ValueError(f"torchattacks' {name} takes no setting {', '.join(unknown)}; it takes {', '.join(allowed)}")
        self.name = name
        self.seed = seed
        self.extra = dict(settings)

    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        indices: Tensor,
        draw: int,
    ) -> Tensor:
        """Run the attack in its own random state."""
        kind = _catalogue()[self.name]
        extra = dict(self.extra)
        if "seed" in _settings_of(kind):
            extra.setdefault("seed", self.seed)
        # torchattacks asks the first parameter for the device; a network without parameters has none to ask.
        model = network if any(True for _ in network.parameters()) else _WithDevice(network, images.device)
        with _own_randomness(self.seed, images.device):
            attack = kind(model, **extra)
            if targets is not None:
                if "targeted" not in attack.supported_mode:
                    raise ValueError(f"torchattacks' {self.name} has no targeted mode: leave the targets out")
                attack.set_mode_targeted_by_label(quiet=True)
            found = attack(images, labels if targets is None else targets)
        return found.clamp(0, 1)


class _WithDevice(nn.Module):
    """A network without parameters, with one that tells the device."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.network = network
        self.device_of = nn.Parameter(torch.zeros((), device=device), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)  # type: ignore[no-any-return]


def _catalogue() -> dict[str, type]:
    """Return torchattacks' attacks by name."""
    try:
        import torchattacks
    except ImportError:
        raise ImportError("torchattacks is not installed: pip install --no-deps torchattacks") from None
    from torchattacks.attack import Attack as Base

    wrappers = {"LGV", "MultiAttack"}
    return {
        name: kind
        for name, kind in vars(torchattacks).items()
        if isinstance(kind, type) and issubclass(kind, Base) and kind is not Base and name not in wrappers
    }


def _settings_of(kind: type) -> list[str]:
    """Return the settings that an attack of torchattacks takes."""
    import inspect

    return [name for name in inspect.signature(kind).parameters if name not in ("self", "model")]


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global random states of torch, numpy and Python for a while."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = [device.index or 0] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
